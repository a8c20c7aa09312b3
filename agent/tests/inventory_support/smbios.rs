//! Builds SMBIOS tables by the standard (DSP0134), for machines that the captures describe.

/// A table under construction; handles are counted up.
pub struct Table {
    bytes: Vec<u8>,
    next_handle: u16,
    /// Form of the memory modules that are added.
    pub form_factor: u8,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            next_handle: 0,
            form_factor: 9,
        }
    }
}

impl Table {
    /// Adds a structure: the formatted bytes after the header, then its strings. Returns its handle.
    pub fn add(&mut self, kind: u8, fields: &[u8], strings: &[&str]) -> u16 {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.bytes.push(kind);
        self.bytes.push(u8::try_from(fields.len() + 4).unwrap());
        self.bytes.extend(handle.to_le_bytes());
        self.bytes.extend(fields);
        for string in strings {
            self.bytes.extend(string.as_bytes());
            self.bytes.push(0);
        }
        if strings.is_empty() {
            self.bytes.push(0);
        }
        self.bytes.push(0);
        handle
    }

    pub fn firmware(&mut self, vendor: &str, version: &str, date: &str) {
        let mut fields = vec![1, 2, 0, 0xe0, 3, 0xff];
        fields.extend([0; 12]);
        self.add(0, &fields, &[vendor, version, date]);
    }

    /// Strings: manufacturer, product, version, serial, SKU, family. An empty one is left out of the set.
    pub fn system(&mut self, texts: [&str; 6], uuid: [u8; 16]) {
        let (numbers, strings) = numbered(&texts);
        let mut fields = numbers[..4].to_vec();
        fields.extend(uuid);
        fields.push(6);
        fields.extend(&numbers[4..]);
        self.add(1, &fields, &strings);
    }

    /// Strings: manufacturer, product, version, serial, asset tag.
    pub fn board(&mut self, texts: [&str; 5]) {
        let (mut fields, strings) = numbered(&texts);
        fields.extend([9, 0, 0, 0, 10, 0]);
        self.add(2, &fields, &strings);
    }

    /// Strings: manufacturer, version, serial, asset tag.
    pub fn chassis(&mut self, kind: u8, texts: [&str; 4]) {
        let (numbers, strings) = numbered(&texts);
        let mut fields = vec![numbers[0], kind];
        fields.extend(&numbers[1..]);
        fields.extend([3, 3, 3, 2, 0, 0, 0, 0, 0, 1, 0, 0]);
        self.add(3, &fields, &strings);
    }

    /// A processor; `status` 0x41 is a socket in use, 0 an empty one.
    pub fn processor(&mut self, socket: &str, status: u8) {
        let mut fields = vec![1, 3, 0xcd, 0];
        fields.extend([0; 8]);
        fields.extend([0, 0x8c, 100, 0, 0, 0, 0, 0, status, 1]);
        self.add(4, &fields, &[socket]);
    }

    /// A connector. Inside: designation and connector; outside: the same; then the port's type.
    pub fn port(&mut self, inside: (&str, u8), outside: (&str, u8), kind: u8) {
        let (numbers, strings) = numbered(&[inside.0, outside.0]);
        let fields = [numbers[0], inside.1, numbers[1], outside.1, kind];
        self.add(8, &fields, &strings);
    }

    /// A slot. `usage` 3 is free, 4 in use; bus with device and function, where it is on one.
    pub fn slot(&mut self, name: &str, kind: u8, usage: u8, address: Option<(u8, u8)>) {
        let mut fields = vec![1, kind, 0x0d, usage, 4, 0, 0, 4, 1];
        match address {
            Some((bus, place)) => fields.extend([0, 0, bus, place]),
            None => fields.extend([0xff; 4]),
        }
        let strings = if name.is_empty() { vec![] } else { vec![name] };
        if name.is_empty() {
            fields[0] = 0;
        }
        self.add(9, &fields, &strings);
    }

    /// An array of memory slots; `usage` 3 is system memory. `correction` 3 is none.
    pub fn memory_array(&mut self, usage: u8, slots: u16, correction: u8, max_bytes: u64) -> u16 {
        let mut fields = vec![3, usage, correction];
        let kib = u32::try_from(max_bytes >> 10).ok();
        let kib = kib.filter(|kib| *kib < 0x8000_0000);
        fields.extend(kib.unwrap_or(0x8000_0000).to_le_bytes());
        fields.extend(0xfffe_u16.to_le_bytes());
        fields.extend(slots.to_le_bytes());
        fields.extend(if kib.is_none() { max_bytes } else { 0 }.to_le_bytes());
        self.add(16, &fields, &[])
    }

    /// A slot. `size` as the standard codes it; `extended_mib` where `size` is 0x7fff. Strings: locator, bank,
    /// manufacturer, serial, part.
    pub fn memory_device(
        &mut self,
        array: u16,
        size: u16,
        extended_mib: u32,
        kind: u8,
        speed: u16,
        texts: [&str; 5],
    ) {
        let (numbers, strings) = numbered(&texts);
        let mut fields = Vec::new();
        fields.extend(array.to_le_bytes());
        fields.extend([0xfe, 0xff, 64, 0, 64, 0]);
        fields.extend(size.to_le_bytes());
        fields.extend([self.form_factor, 0, numbers[0], numbers[1], kind, 0x80, 0]);
        fields.extend(speed.to_le_bytes());
        fields.extend([numbers[2], numbers[3], 0, numbers[4], 1]);
        fields.extend(extended_mib.to_le_bytes());
        fields.extend(speed.to_le_bytes());
        self.add(17, &fields, &strings);
    }

    pub fn end(mut self) -> Vec<u8> {
        self.add(127, &[], &[]);
        self.bytes
    }
}

fn numbered<'a>(texts: &[&'a str]) -> (Vec<u8>, Vec<&'a str>) {
    let mut strings = Vec::new();
    let numbers = texts
        .iter()
        .map(|text| {
            if text.is_empty() {
                return 0;
            }
            strings.push(*text);
            u8::try_from(strings.len()).unwrap()
        })
        .collect();
    (numbers, strings)
}

/// The table a captured machine has; `None` for one without.
pub fn of(machine: &str) -> Option<Vec<u8>> {
    let mut table = Table::default();
    match machine {
        "hp-compaq-6300" => {
            table.firmware("Hewlett-Packard", "K01 v02.90", "07/16/2013");
            table.system(
                [
                    "Hewlett-Packard",
                    "HP Compaq Pro 6300 SFF",
                    "",
                    "MXL3231ABC",
                    "C5U31LA#ABM",
                    "103C_53307F G=D",
                ],
                *b"\x00\x5c\x9f\x5a\x1c\xe1\xe2\x11\xa8\xb4\x2c\x44\xfd\x1a\x2b\x3c",
            );
            table.board([
                "Hewlett-Packard",
                "339A",
                "",
                "PDCAB0A8J5D0LM",
                "MXL3231ABC",
            ]);
            table.chassis(4, ["Hewlett-Packard", "", "MXL3231ABC", "ALC-004512"]);
            table.processor("XU1 PROCESSOR", 0x41);
            table.port(("J68", 0), ("KYBD", 0x0f), 0x0d);
            table.port(("J9", 0x19), ("COM A", 0x08), 0x09);
            table.port(("J24", 0), ("VGA", 0x07), 0x1c);
            table.port(("J10", 0), ("USB 1", 0x12), 0x10);
            table.port(("SATA0", 0x22), ("", 0), 0x20);
            table.port(("J11", 0), ("LINE OUT", 0x1f), 0x1d);
            table.port(("J12", 0), ("SPARE", 0xff), 0xff);
            table.slot("PCI1", 0x06, 3, None);
            table.slot("PCIEX16", 0xaa, 3, Some((0, 0x08)));
            table.slot("PCIEX1_1", 0xa6, 4, Some((0, 0xe0)));
            table.slot("PCIEX1_2", 0xa6, 2, None);
            let flash = table.memory_array(5, 1, 3, 8 << 20);
            table.memory_device(flash, 8, 0, 9, 0, ["SYSTEM ROM", "", "", "", ""]);
            let array = table.memory_array(3, 4, 3, 32 << 30);
            let module = ["DIMM1", "", "Samsung", "9512AB34", "M378B5273DH0-CK0"];
            table.memory_device(array, 4_096, 0, 0x18, 1_600, module);
            for locator in ["DIMM2", "DIMM3", "DIMM4"] {
                table.memory_device(array, 0, 0, 2, 0, [locator, "", "", "", ""]);
            }
        }
        "dell-latitude-5440" => {
            table.firmware("Dell Inc.", "1.22.0", "04/09/2025");
            table.system(
                [
                    "Dell Inc.",
                    "Latitude 5440",
                    "",
                    "7H2MN34",
                    "0C21",
                    "Latitude",
                ],
                *b"\x44\x45\x4c\x4c\x48\x00\x10\x32\x80\x4d\xb7\xc0\x4f\x4e\x33\x34",
            );
            table.board(["Dell Inc.", "0K9V5T", "A00", "/7H2MN34/CNCMK0037R00A1/", ""]);
            table.chassis(10, ["Dell Inc.", "", "7H2MN34", "Not Specified"]);
            table.processor("U3E1", 0x41);
            table.port(("JUSB1", 0), ("USB-C 1", 0x23), 0x23);
            table.port(("JHDMI1", 0), ("HDMI", 0xff), 0x1c);
            table.port(("JLAN1", 0), ("RJ-45", 0x0b), 0x1f);
            table.slot("M.2 SSD", 0x17, 4, Some((1, 0)));
            table.slot("M.2 WWAN", 0x16, 3, None);
            table.form_factor = 0x0d;
            let array = table.memory_array(3, 2, 3, 64 << 30);
            for (locator, bank, serial) in [
                ("Motherboard DIMM A", "BANK 0", "A1B2C3D4"),
                ("Motherboard DIMM B", "BANK 1", "A1B2C3D5"),
            ] {
                let texts = [locator, bank, "SK Hynix", serial, "HMCG66AGBSA095N"];
                table.memory_device(array, 0x7fff, 8_192, 0x22, 5_600, texts);
            }
        }
        "qemu-placeholders" => {
            table.firmware("SeaBIOS", "rel-1.16.2-0-gea1b7a0", "04/01/2014");
            table.system(
                [
                    "QEMU",
                    "Standard PC (Q35 + ICH9, 2009)",
                    "Default string",
                    "To be filled by O.E.M.",
                    "SKU",
                    "To Be Filled By O.E.M.",
                ],
                *b"\x00\x02\x00\x03\x00\x04\x00\x05\x00\x06\x00\x07\x00\x08\x00\x09",
            );
            table.board(["Default string", "Default string", "", "0", ""]);
            table.chassis(
                1,
                ["QEMU", "pc-q35-7.2", "System Serial Number", "........"],
            );
            table.processor("CPU 0", 0x41);
            table.slot("", 0xa5, 2, None);
            let array = table.memory_array(3, 1, 6, 2 << 30);
            let module = ["DIMM 0", "", "QEMU", "Not Specified", ""];
            table.memory_device(array, 2_048, 0, 7, 0, module);
        }
        "fedora-raid" => {
            table.firmware(
                "American Megatrends International, LLC.",
                "P3.40",
                "01/15/2024",
            );
            table.system(
                [
                    "To Be Filled By O.E.M.",
                    "B550M Pro4",
                    "Default string",
                    "To Be Filled By O.E.M.",
                    "Default string",
                    "Default string",
                ],
                *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            );
            table.board(["ASRock", "B550M Pro4", "", "M80-F2009900123", ""]);
            table.chassis(
                3,
                [
                    "To Be Filled By O.E.M.",
                    "",
                    "Default string",
                    "Default string",
                ],
            );
            table.processor("AM4", 0x41);
            table.slot("PCIE1", 0xbd, 4, Some((7, 0)));
            table.slot("PCIE2", 0xb2, 3, Some((0xff, 0xff)));
            table.slot("M2_1", 0x17, 3, None);
            let array = table.memory_array(3, 4, 3, 128 << 30);
            for (locator, channel) in [("DIMM 1", "P0 CHANNEL A"), ("DIMM 1", "P0 CHANNEL B")] {
                let texts = [
                    locator,
                    channel,
                    "Kingston",
                    "00000000",
                    "KHX3200C16D4/16GX",
                ];
                table.memory_device(array, 16_384, 0, 0x1a, 3_200, texts);
            }
            for channel in ["P0 CHANNEL A", "P0 CHANNEL B"] {
                table.memory_device(
                    array,
                    0,
                    0,
                    2,
                    0,
                    ["DIMM 0", channel, "Unknown", "Unknown", "Unknown"],
                );
            }
        }
        _ => return None,
    }
    Some(table.end())
}
