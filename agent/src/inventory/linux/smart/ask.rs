//! Asking a disk for its pages: by SG_IO and NVMe admin commands on the running machine, from files in a capture.
//!
//! In a captured tree each page is a file `/smart/DISK/PAGE` with the bytes as the disk gave them: `power_mode` (the
//! sector count after CHECK POWER MODE, one byte), `identify`, `smart_data`, `smart_thresholds`, `smart_status` (LBA mid and
//! high after SMART RETURN STATUS, two bytes), `error_log`, `self_test_log`, `nvme_health`, and `smartctl.json` for what
//! only smartctl reaches.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::super::{Source, Unreadable};
use super::super::ioctl::{self, ScsiAnswer};
use super::{ata, nvme, smartctl};

/// The kernel's limit for one command. Five and a half of them fit in the limit of one disk.
const COMMAND_LIMIT_MS: u32 = 3_000;

/// What a disk can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// CHECK POWER MODE: one byte.
    PowerMode,
    /// IDENTIFY DEVICE: 512 bytes, as all that follow without a size.
    Identify,
    /// SMART READ DATA.
    SmartData,
    /// SMART READ THRESHOLDS.
    SmartThresholds,
    /// SMART RETURN STATUS: LBA mid and high.
    SmartStatus,
    /// SMART log 01h.
    ErrorLog,
    /// SMART log 06h.
    SelfTestLog,
    /// NVMe log 02h.
    NvmeHealth,
    /// What smartctl says: JSON.
    Smartctl,
}

impl Page {
    /// The name of its file in a capture.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::PowerMode => "power_mode",
            Self::Identify => "identify",
            Self::SmartData => "smart_data",
            Self::SmartThresholds => "smart_thresholds",
            Self::SmartStatus => "smart_status",
            Self::ErrorLog => "error_log",
            Self::SelfTestLog => "self_test_log",
            Self::NvmeHealth => "nvme_health",
            Self::Smartctl => "smartctl.json",
        }
    }
}

/// Whoever can be asked for pages. An own trait, so that a disk that hangs can be played.
pub trait Ask: Send + Sync {
    /// A page of a disk, by its kernel name. Never wakes a disk by itself, but only [`Page::PowerMode`] is safe to ask of
    /// one that may sleep.
    fn page(&self, disk: &str, page: Page) -> Result<Vec<u8>, Unreadable>;
}

impl Ask for Source {
    fn page(&self, disk: &str, page: Page) -> Result<Vec<u8>, Unreadable> {
        if !self.is_live() {
            let path = format!("/smart/{disk}/{}", page.file_name());
            return self.bytes(&path, smartctl::MAX_BYTES);
        }
        match page {
            Page::Smartctl => smartctl::run(self, disk),
            Page::NvmeHealth => {
                let file = open(disk)?;
                nvme_health(disk, |opcode, namespace, word10, data| {
                    ioctl::nvme_admin_read(&file, opcode, namespace, word10, data, COMMAND_LIMIT_MS)
                })
            }
            page => {
                let file = open(disk)?;
                ata_page(disk, page, |command, data| {
                    ioctl::scsi_read(&file, command, data, COMMAND_LIMIT_MS)
                })
            }
        }
    }
}

/// `send` takes opcode, namespace, dword 10 and the buffer, and answers the command's status.
fn nvme_health(
    disk: &str,
    send: impl FnOnce(u8, u32, u32, &mut [u8]) -> Result<u32, Errno>,
) -> Result<Vec<u8>, Unreadable> {
    const GET_LOG_PAGE: u8 = 0x02;
    const ALL_NAMESPACES: u32 = u32::MAX;
    const HEALTH: u32 = 0x02;
    let mut data = vec![0; nvme::PAGE];
    // Dword 10: number of dwords less one, above the page's number.
    let word10 = (nvme::PAGE as u32 / 4 - 1) << 16 | HEALTH;
    let status = send(GET_LOG_PAGE, ALL_NAMESPACES, word10, &mut data)
        .map_err(|errno| Unreadable::of_error(&format!("/dev/{disk}"), &errno.into()))?;
    match status {
        0 => Ok(data),
        status => Err(Unreadable::no_source(format!(
            "/dev/{disk}: the health log was refused with NVMe status {status:#x}"
        ))),
    }
}

/// `send` takes the SCSI command and the buffer, empty for a command without data.
fn ata_page(
    disk: &str,
    page: Page,
    send: impl FnOnce(&[u8; 16], &mut [u8]) -> Result<ScsiAnswer, Errno>,
) -> Result<Vec<u8>, Unreadable> {
    const IDENTIFY: u8 = 0xec;
    const CHECK_POWER_MODE: u8 = 0xe5;
    let path = format!("/dev/{disk}");
    let (command, read) = match page {
        Page::PowerMode => (pass_through(CHECK_POWER_MODE, 0, 0, false), false),
        Page::Identify => (pass_through(IDENTIFY, 0, 0, true), true),
        Page::SmartData => (smart(0xd0, 0, true), true),
        Page::SmartThresholds => (smart(0xd1, 0, true), true),
        Page::ErrorLog => (smart(0xd5, 0x01, true), true),
        Page::SelfTestLog => (smart(0xd5, 0x06, true), true),
        Page::SmartStatus => (smart(0xda, 0, false), false),
        Page::NvmeHealth | Page::Smartctl => {
            return Err(Unreadable::no_source(format!("{path}: not an ATA page")));
        }
    };
    let mut data = vec![0; if read { ata::PAGE } else { 0 }];
    let answer =
        send(&command, &mut data).map_err(|errno| Unreadable::of_error(&path, &errno.into()))?;
    let registers = judge(&path, &answer, read)?;
    match (page, registers) {
        (Page::PowerMode, Some(registers)) => Ok(vec![registers.count]),
        (Page::SmartStatus, Some(registers)) => Ok(vec![registers.lba_mid, registers.lba_high]),
        (Page::PowerMode | Page::SmartStatus, None) => Err(Unreadable::no_source(format!(
            "{path}: the bridge hands no registers back"
        ))),
        _ => {
            data.truncate(data.len().saturating_sub(answer.residual));
            Ok(data)
        }
    }
}

/// What an answer is worth: the registers, where there are some, or why it is none.
fn judge(
    path: &str,
    answer: &ScsiAnswer,
    read: bool,
) -> Result<Option<ata::Registers>, Unreadable> {
    const TIMED_OUT: u16 = 3;
    match answer.host_status {
        0 => {}
        TIMED_OUT => {
            return Err(Unreadable::time_limit(format!(
                "{path}: no answer in {COMMAND_LIMIT_MS} ms"
            )));
        }
        status => {
            return Err(Unreadable::io(format!(
                "{path}: the adapter failed with status {status:#x}"
            )));
        }
    }
    let registers = ata::registers(&answer.sense);
    if let Some(registers) = registers
        && registers.status & 1 != 0
    {
        return Err(Unreadable::no_source(format!(
            "{path}: the disk refused the command (status {:02x}h, error {:02x}h)",
            registers.status, registers.error
        )));
    }
    // Asking for registers ends in "check condition" by design.
    if answer.status == 0 || (registers.is_some() && !read) {
        return Ok(registers);
    }
    Err(Unreadable::no_source(format!(
        "{path}: no ATA command gets through (SCSI status {:02x}h)",
        answer.status
    )))
}

/// ATA PASS-THROUGH (16) of SAT-3, for one block from the disk or for no data and the registers.
fn pass_through(command: u8, feature: u8, lba_low: u8, read: bool) -> [u8; 16] {
    const NO_DATA: u8 = 3 << 1;
    const PIO_IN: u8 = 4 << 1;
    const WANT_REGISTERS: u8 = 0x20;
    const ONE_BLOCK_IN: u8 = 0x0e;
    let mut bytes = [0; 16];
    for (at, value) in [
        (0, 0x85),
        (1, if read { PIO_IN } else { NO_DATA }),
        (2, if read { ONE_BLOCK_IN } else { WANT_REGISTERS }),
        (4, feature),
        (6, u8::from(read)),
        (8, lba_low),
        (14, command),
    ] {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
    }
    bytes
}

fn smart(feature: u8, log: u8, read: bool) -> [u8; 16] {
    let mut bytes = pass_through(0xb0, feature, log, read);
    // The signature without which a disk takes no SMART command.
    for (at, value) in [(10, 0x4f), (12, 0xc2)] {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
    }
    bytes
}

fn open(disk: &str) -> Result<File, Unreadable> {
    let path = format!("/dev/{disk}");
    // Non-blocking, so that a drive without a medium opens too and none is loaded.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::CLOEXEC).bits()).unwrap_or(0);
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&path)
        .map_err(|error| Unreadable::of_error(&path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_standard() {
        assert_eq!(
            hex::encode(pass_through(0xec, 0, 0, true)),
            "85080e000000010000000000 0000ec00".replace(' ', "")
        );
        assert_eq!(
            hex::encode(smart(0xda, 0, false)),
            "850620 00da 0000 0000 004f 00c2 00 b0 00".replace(' ', "")
        );
        assert_eq!(
            hex::encode(pass_through(0xe5, 0, 0, false)),
            "85062000000000000000000000 00e500".replace(' ', "")
        );
        assert_eq!(
            hex::encode(smart(0xd5, 6, true)),
            "85080e 00d5 0001 0006 004f 00c2 00 b0 00".replace(' ', "")
        );
    }

    /// A disk behind SG_IO as the kernel's translator (SAT-3) shows it: looks at the command that comes, and hands out its
    /// page, or its registers as sense data of one form.
    struct Disk {
        asleep: bool,
        fixed_form: bool,
        /// Bytes that it keeps back of each page.
        keeps: usize,
    }

    impl Disk {
        const AWAKE: Self = Self {
            asleep: false,
            fixed_form: false,
            keeps: 0,
        };

        fn take(&self, command: &[u8; 16], data: &mut [u8]) -> Result<ScsiAnswer, Errno> {
            let [
                operation,
                protocol,
                flags,
                _,
                feature,
                _,
                count,
                _,
                log,
                _,
                mid,
                _,
                high,
                _,
                ata,
                _,
            ] = *command;
            assert_eq!((operation, data.len()), (0x85, usize::from(count) * 512));
            if ata == 0xb0 {
                assert_eq!((mid, high), (0x4f, 0xc2), "SMART without its signature");
            }
            match (ata, feature) {
                (0xe5, 0) => {
                    Ok(self.registers(flags, [0, if self.asleep { 0 } else { 0xff }, 0, 0]))
                }
                (0xb0, 0xda) => Ok(self.registers(flags, [0, 0, 0x4f, 0xc2])),
                _ if self.asleep => panic!("command {ata:02x}h woke the disk"),
                (0xec, 0) | (0xb0, 0xd0 | 0xd1 | 0xd5) => {
                    assert_eq!((protocol, flags & 0x0f), (4 << 1, 0x0e), "not one block in");
                    data.fill(if ata == 0xec { 0xec } else { feature ^ log });
                    Ok(ScsiAnswer {
                        status: 0,
                        host_status: 0,
                        sense: Vec::new(),
                        residual: self.keeps,
                    })
                }
                // As a disk refuses what it does not know: aborted, with the registers.
                _ => Ok(self.registers(0x20, [4, 0, 0, 0])),
            }
        }

        fn registers(&self, flags: u8, [error, count, mid, high]: [u8; 4]) -> ScsiAnswer {
            assert_eq!(flags & 0x20, 0x20, "registers that nobody asked for");
            let status = if error == 0 { 0x50 } else { 0x51 };
            let sense = if self.fixed_form {
                let mut sense = vec![0x70, 0, 1, error, status, 0, count, 10, 0, 0, mid, high];
                sense.extend([0, 0x1d, 0, 0, 0, 0]);
                sense
            } else {
                let mut sense = vec![0x72, 1, 0, 0x1d, 0, 0, 0, 14, 9, 12, 0, error, 0, count];
                sense.extend([0, 0, 0, mid, 0, high, 0, status]);
                sense
            };
            ScsiAnswer {
                status: 2,
                host_status: 0,
                sense,
                residual: 0,
            }
        }
    }

    #[test]
    fn a_disk_takes_the_commands_and_its_pages_come_out() {
        for fixed_form in [false, true] {
            let disk = Disk {
                fixed_form,
                ..Disk::AWAKE
            };
            let page = |page| ata_page("sda", page, |command, data| disk.take(command, data));
            assert_eq!(page(Page::PowerMode), Ok(vec![0xff]));
            assert_eq!(page(Page::SmartStatus), Ok(vec![0x4f, 0xc2]));
            for (name, byte) in [
                (Page::Identify, 0xec),
                (Page::SmartData, 0xd0),
                (Page::SmartThresholds, 0xd1),
                (Page::ErrorLog, 0xd5 ^ 1),
                (Page::SelfTestLog, 0xd5 ^ 6),
            ] {
                assert_eq!(page(name), Ok(vec![byte; 512]), "{name:?}");
            }
            let asleep = Disk {
                asleep: true,
                fixed_form,
                keeps: 0,
            };
            let mode = ata_page("sda", Page::PowerMode, |command, data| {
                asleep.take(command, data)
            });
            assert!(ata::sleeps(mode.unwrap()[0]));
        }
        // Less than a page came: what the buffer held before is not taken for the disk's.
        let short = Disk {
            keeps: 500,
            ..Disk::AWAKE
        };
        let page = ata_page("sda", Page::Identify, |command, data| {
            short.take(command, data)
        });
        assert_eq!(page, Ok(vec![0xec; 12]));
        let lying = Disk {
            keeps: 5_000,
            ..Disk::AWAKE
        };
        let page = ata_page("sda", Page::Identify, |command, data| {
            lying.take(command, data)
        });
        assert_eq!(page, Ok(vec![]));
    }

    #[test]
    fn what_the_kernel_or_the_disk_refuses_is_said() {
        use chasqui_proto::v1::UnreadReason;
        let refused = ata_page("sda", Page::SmartData, |_, _| {
            Ok(Disk::AWAKE.registers(0x20, [4, 0, 0, 0]))
        });
        assert!(refused.unwrap_err().is_no_source());
        for (errno, reason) in [
            (Errno::PERM, UnreadReason::Permission),
            (Errno::NODEV, UnreadReason::NoSource),
            (Errno::TIMEDOUT, UnreadReason::TimeLimit),
            (Errno::IO, UnreadReason::Io),
        ] {
            let read = ata_page("sda", Page::Identify, |_, _| Err(errno));
            assert_eq!(read.unwrap_err().reason, reason);
            let read = nvme_health("nvme0n1", |_, _, _, _| Err(errno));
            assert_eq!(read.unwrap_err().reason, reason);
        }
        let page = ata_page("sda", Page::NvmeHealth, |_, _| panic!("asked"));
        assert!(page.unwrap_err().is_no_source());
    }

    #[test]
    fn the_health_log_is_asked_of_the_whole_controller() {
        let log = nvme_health("nvme0n1", |opcode, namespace, word10, data| {
            // 128 dwords of log 02h, counted from 0.
            assert_eq!((opcode, namespace, word10), (2, u32::MAX, 0x007f_0002));
            data.fill(7);
            Ok(0)
        });
        assert_eq!(log, Ok(vec![7; 512]));
        let refused = nvme_health("nvme0n1", |_, _, _, _| Ok(0x4002));
        assert!(refused.unwrap_err().detail.contains("0x4002"));
    }

    /// The request itself reaches the kernel: a file that is no disk refuses it, as it should.
    #[test]
    fn what_is_no_disk_takes_no_command() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let asked = ata_page("null", Page::Identify, |command, data| {
            ioctl::scsi_read(&file, command, data, 1_000)
        });
        assert!(asked.unwrap_err().detail.starts_with("/dev/null: "));
        let asked = nvme_health("null", |opcode, namespace, word10, data| {
            ioctl::nvme_admin_read(&file, opcode, namespace, word10, data, 1_000)
        });
        assert!(asked.unwrap_err().detail.starts_with("/dev/null: "));
    }

    #[test]
    fn a_bridge_that_passes_nothing_is_no_source_and_a_hung_one_is_out_of_time() {
        let answer = |status, host_status, sense: &[u8]| ScsiAnswer {
            status,
            host_status,
            sense: sense.to_vec(),
            residual: 0,
        };
        let mut refused = vec![0; 18];
        refused[0] = 0x70;
        refused[2] = 5;
        refused[12] = 0x20;
        assert!(
            judge("x", &answer(2, 0, &refused), false)
                .unwrap_err()
                .is_no_source()
        );
        let late = judge("x", &answer(0, 3, &[]), true).unwrap_err();
        assert_eq!(late.reason, chasqui_proto::v1::UnreadReason::TimeLimit);
        assert_eq!(judge("x", &answer(0, 0, &[]), true), Ok(None));
        let mut told = vec![0x72, 1, 0, 0x1d, 0, 0, 0, 14, 9, 12, 0, 0, 0, 0xff];
        told.extend([0, 0, 0, 0x4f, 0, 0xc2, 0, 0x50]);
        let registers = judge("x", &answer(2, 0, &told), false).unwrap().unwrap();
        assert_eq!(
            (registers.count, registers.lba_mid, registers.lba_high),
            (0xff, 0x4f, 0xc2)
        );
        for cut in 0..told.len() {
            assert_eq!(ata::registers(&told[..cut]), None);
        }
    }
}
