//! Pages that disks hand out and headers that lie on them, written from the standards: ATA8-ACS and ACS-3 (IDENTIFY DEVICE,
//! SMART), NVM Express (health log), the LUKS1 and LUKS2 on-disk formats, UEFI (GPT).

/// A row of SMART data with its threshold: id, flags, value, worst, raw, threshold.
pub type Row = (u8, u16, u8, u8, u64, u8);

/// IDENTIFY DEVICE with SMART, error log and self-tests on; turns a minute, 1 for none.
pub fn identify(model: &str, serial: &str, firmware: &str, turns: u16) -> Vec<u8> {
    let mut page = vec![0; 512];
    let mut text = |word: usize, words: usize, text: &str| {
        let padded = format!("{text:<width$}", width = words * 2);
        for (at, pair) in padded.as_bytes().chunks(2).enumerate() {
            page[(word + at) * 2] = pair[1];
            page[(word + at) * 2 + 1] = pair[0];
        }
    };
    text(10, 10, serial);
    text(23, 4, firmware);
    text(27, 20, model);
    for (word, value) in [
        (82, 0x0001),
        (83, 0x4000),
        (84, 0x4003),
        (85, 0x0001),
        (87, 0x4103),
        (108, 0x5000),
        (109, 0xc500),
        (110, 0xa1b2),
        (111, 0xc3d4),
        (217, turns),
    ] {
        page[word * 2..word * 2 + 2].copy_from_slice(&u16::to_le_bytes(value));
    }
    page[510] = 0xa5;
    seal(page)
}

pub fn smart_data(rows: &[Row]) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[0] = 16;
    for (at, (id, flags, value, worst, raw, _)) in rows.iter().enumerate() {
        let row = &mut page[2 + at * 12..2 + at * 12 + 12];
        row[0] = *id;
        row[1..3].copy_from_slice(&flags.to_le_bytes());
        row[3] = *value;
        row[4] = *worst;
        row[5..11].copy_from_slice(&raw.to_le_bytes()[..6]);
    }
    seal(page)
}

pub fn smart_thresholds(rows: &[Row]) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[0] = 16;
    for (at, (id, .., threshold)) in rows.iter().enumerate() {
        page[2 + at * 12] = *id;
        page[3 + at * 12] = *threshold;
    }
    seal(page)
}

pub fn error_log(errors: u16) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[0] = 1;
    page[452..454].copy_from_slice(&errors.to_le_bytes());
    seal(page)
}

/// Status nibbles of the rows that were written.
pub fn self_test_log(results: &[u8]) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[0] = 1;
    for (at, result) in results.iter().enumerate() {
        page[2 + at * 24] = 1;
        page[3 + at * 24] = result << 4;
    }
    page[508] = results.len() as u8;
    seal(page)
}

pub struct Nvme {
    pub warning: u8,
    pub kelvin: u16,
    pub spare: u8,
    pub used: u8,
    pub units_written: u64,
    pub hours: u64,
    pub media_errors: u64,
}

pub fn nvme_health(nvme: &Nvme) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[0] = nvme.warning;
    page[1..3].copy_from_slice(&nvme.kelvin.to_le_bytes());
    page[3] = nvme.spare;
    page[4] = 10;
    page[5] = nvme.used;
    let mut count = |at: usize, value: u64| page[at..at + 8].copy_from_slice(&value.to_le_bytes());
    count(32, 1_000);
    count(48, nvme.units_written);
    count(112, 900);
    count(128, nvme.hours);
    count(144, 43);
    count(160, nvme.media_errors);
    count(176, 77);
    page
}

pub fn luks1(uuid: &str) -> Vec<u8> {
    let mut head = vec![0; 4_096];
    head[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
    put(&mut head, 8, b"aes");
    put(&mut head, 40, b"xts-plain64");
    put(&mut head, 72, b"sha256");
    put(&mut head, 108, &32_u32.to_be_bytes());
    put(&mut head, 168, uuid.as_bytes());
    head
}

pub fn luks2(uuid: &str, label: &str) -> Vec<u8> {
    let json = br#"{"keyslots":{"0":{"type":"luks2","key_size":64,"area":{"type":"raw","offset":"32768","size":"258048","encryption":"aes-xts-plain64","key_size":64}}},"tokens":{},"segments":{"0":{"type":"crypt","offset":"16777216","size":"dynamic","iv_tweak":"0","encryption":"aes-xts-plain64","sector_size":512}},"digests":{},"config":{"json_size":"12288","keyslots_size":"16744448"}}"#;
    let mut head = vec![0; 16_384];
    head[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
    put(&mut head, 8, &16_384_u64.to_be_bytes());
    put(&mut head, 24, label.as_bytes());
    put(&mut head, 168, uuid.as_bytes());
    put(&mut head, 4_096, json);
    head
}

/// A disk's first bytes with a GPT of one partition.
pub fn gpt(kind: &str, uuid: &str, name: &str) -> Vec<u8> {
    let mut head = vec![0; 34 * 512];
    put(&mut head, 510, &[0x55, 0xaa]);
    put(&mut head, 512, b"EFI PART");
    put(&mut head, 512 + 72, &2_u64.to_le_bytes());
    put(&mut head, 512 + 80, &128_u32.to_le_bytes());
    put(&mut head, 512 + 84, &128_u32.to_le_bytes());
    let mixed = |text: &str| uuid::Uuid::parse_str(text).unwrap().to_bytes_le();
    put(&mut head, 1_024, &mixed(kind));
    put(&mut head, 1_040, &mixed(uuid));
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    put(&mut head, 1_080, &name);
    head
}

pub fn ext4(uuid: [u8; 16], label: &str) -> Vec<u8> {
    let mut head = vec![0; 8_192];
    put(&mut head, 1_024 + 56, &[0x53, 0xef]);
    put(&mut head, 1_024 + 92, &4_u32.to_le_bytes());
    put(&mut head, 1_024 + 96, &0x40_u32.to_le_bytes());
    put(&mut head, 1_024 + 104, &uuid);
    put(&mut head, 1_024 + 120, label.as_bytes());
    head
}

pub fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

/// Makes all bytes sum up to zero.
fn seal(mut page: Vec<u8>) -> Vec<u8> {
    let sum = page.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    page[511] = 0_u8.wrapping_sub(sum);
    page
}
