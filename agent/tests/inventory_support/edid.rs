//! Builds EDID blocks by the standard (VESA E-EDID 1.4), for monitors that the captures describe.

/// A monitor's base block under construction.
pub struct Monitor {
    pub maker: &'static str,
    pub product: u16,
    pub number: u32,
    pub week: u8,
    pub year: u16,
    pub cm: (u8, u8),
    /// Preferred mode in pixels, and its picture in millimetres.
    pub mode: (u16, u16),
    pub mm: (u16, u16),
    /// Tag and text of up to three descriptors.
    pub texts: &'static [(u8, &'static str)],
    pub extensions: &'static [u8],
}

impl Monitor {
    pub fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        let packed = self.maker.bytes().fold(0_u16, |packed, letter| {
            packed << 5 | u16::from(letter - b'@')
        });
        block.extend(packed.to_be_bytes());
        block.extend(self.product.to_le_bytes());
        block.extend(self.number.to_le_bytes());
        block.extend([self.week, u8::try_from(self.year - 1_990).unwrap()]);
        // Version 1.4, digital, the size, gamma 2.2, sRGB.
        block.extend([1, 4, 0xa5, self.cm.0, self.cm.1, 120, 0x3a]);
        block.extend([0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]);
        block.extend([0x21, 0x08, 0]);
        block.extend([1; 16]);
        block.extend(timing(self.mode, self.mm));
        for (tag, text) in self.texts {
            let mut descriptor = vec![0, 0, 0, *tag, 0];
            descriptor.extend(text.bytes());
            if descriptor.len() < 18 {
                descriptor.push(b'\n');
            }
            descriptor.resize(18, b' ');
            block.extend(descriptor);
        }
        while block.len() < 126 {
            // A descriptor that says nothing.
            block.extend([0, 0, 0, 0x10]);
            block.extend([0; 14]);
        }
        block.push(u8::try_from(self.extensions.len()).unwrap());
        close(&mut block);
        for tag in self.extensions {
            let mut extension = vec![*tag, 3, 4, 0];
            // Bytes that would be names and modes if somebody took an extension for a base block.
            extension.extend([0, 0, 0, 0xfc, 0, b'N', b'o', b'\n']);
            extension.resize(127, 0);
            close(&mut extension);
            block.extend(extension);
        }
        block
    }
}

/// A detailed timing; its blanking and clock are of no concern here.
fn timing((width, height): (u16, u16), (across, down): (u16, u16)) -> [u8; 18] {
    let low = |number: u16| number.to_le_bytes()[0];
    let high = |number: u16| number.to_le_bytes()[1];
    let mut timing = [0; 18];
    timing[..2].copy_from_slice(&14_850_u16.to_le_bytes());
    timing[2] = low(width);
    timing[3] = 24;
    timing[4] = high(width) << 4 | 1;
    timing[5] = low(height);
    timing[6] = 45;
    timing[7] = high(height) << 4;
    timing[12] = low(across);
    timing[13] = low(down);
    timing[14] = high(across) << 4 | high(down);
    timing[17] = 0x1e;
    timing
}

/// Ends a block so that its bytes sum to zero.
pub fn close(block: &mut Vec<u8>) {
    let sum = block.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    block.push(sum.wrapping_neg());
}

/// The monitors of the captured machines: machine, connector, bytes.
pub fn all() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let hp = Monitor {
        maker: "HWP",
        product: 0x3080,
        number: 0x0101_0101,
        week: 23,
        year: 2013,
        cm: (44, 25),
        mode: (1_600, 900),
        mm: (443, 249),
        texts: &[(0xfd, "\u{1}"), (0xfc, "HP LV2011"), (0xff, "3CQ3230ABC")],
        extensions: &[],
    };
    let panel = Monitor {
        maker: "AUO",
        product: 0x8e9d,
        number: 0,
        week: 0,
        year: 2022,
        cm: (31, 17),
        mode: (1_920, 1_080),
        mm: (309, 174),
        texts: &[(0xfe, "AUO"), (0xfe, "B140HAN04.0")],
        extensions: &[],
    };
    let desk = Monitor {
        maker: "DEL",
        product: 0x41b7,
        number: 0x3036_3542,
        week: 12,
        year: 2021,
        cm: (53, 30),
        mode: (1_920, 1_080),
        mm: (527, 296),
        texts: &[(0xff, "8JM2X63"), (0xfc, "DELL P2422H")],
        extensions: &[2],
    };
    let asrock = Monitor {
        maker: "GSM",
        product: 0x5b55,
        number: 194_123,
        week: 0xff,
        year: 2020,
        cm: (60, 34),
        mode: (2_560, 1_440),
        mm: (160, 90),
        texts: &[(0xfc, "LG ULTRAGEAR"), (0xff, "00000000")],
        extensions: &[2, 0x70],
    };
    vec![
        ("hp-compaq-6300", "card0-DP-1", hp.bytes()),
        ("dell-latitude-5440", "card1-eDP-1", panel.bytes()),
        ("dell-latitude-5440", "card1-DP-3", desk.bytes()),
        ("fedora-raid", "card0-HDMI-A-1", asrock.bytes()),
    ]
}
