//! The two requests to a disk that no safe interface offers: a SCSI command (SG_IO) and an NVMe admin command. The only
//! unsafe code of the agent's inventory. It is sound because each request structure is laid out as the kernel's header has
//! it (their sizes are asserted below), every pointer in it is to a buffer that is borrowed for the whole call, and each
//! length given to the kernel is that of the buffer behind it.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

/// `SG_IO` of scsi/sg.h.
const SG_IO: Opcode = 0x2285;
/// `NVME_IOCTL_ADMIN_CMD` of linux/nvme_ioctl.h: `_IOWR('N', 0x41, struct nvme_passthru_cmd)`.
const NVME_ADMIN: Opcode = rustix::ioctl::opcode::read_write::<NvmeCommand>(b'N', 0x41);

const SENSE_BYTES: usize = 64;

/// `sg_io_hdr`, version 3.
#[repr(C)]
struct SgHeader {
    interface_id: i32,
    direction: i32,
    command_len: u8,
    sense_max: u8,
    iovec_count: u16,
    data_len: u32,
    data: *mut c_void,
    command: *const u8,
    sense: *mut u8,
    timeout_ms: u32,
    flags: u32,
    pack_id: i32,
    user: *mut c_void,
    status: u8,
    masked_status: u8,
    message_status: u8,
    sense_len: u8,
    host_status: u16,
    driver_status: u16,
    residual: i32,
    duration: u32,
    info: u32,
}

/// `nvme_passthru_cmd`.
#[repr(C)]
#[derive(Default)]
struct NvmeCommand {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    word2: u32,
    word3: u32,
    metadata: u64,
    address: u64,
    metadata_len: u32,
    data_len: u32,
    word10: u32,
    word11: u32,
    word12: u32,
    word13: u32,
    word14: u32,
    word15: u32,
    timeout_ms: u32,
    result: u32,
}

const _: () = assert!(size_of::<NvmeCommand>() == 72);
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<SgHeader>() == 88);
#[cfg(target_pointer_width = "32")]
const _: () = assert!(size_of::<SgHeader>() == 64);

/// What came back of a SCSI command beside its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiAnswer {
    /// SCSI status: 0 good, 2 check condition.
    pub status: u8,
    /// The adapter's word: 0 fine, 3 no answer in time.
    pub host_status: u16,
    /// Sense data, as long as the disk gave it.
    pub sense: Vec<u8>,
    /// Bytes of the buffer that were not filled.
    pub residual: usize,
}

/// Sends a command of 16 bytes that reads into `data` (or has no data, when empty). The kernel gives up after
/// `timeout_ms`.
pub fn scsi_read(
    disk: impl AsFd,
    command: &[u8; 16],
    data: &mut [u8],
    timeout_ms: u32,
) -> Result<ScsiAnswer, Errno> {
    const NO_DATA: i32 = -1;
    const FROM_DISK: i32 = -3;
    let mut sense = [0_u8; SENSE_BYTES];
    let mut header = SgHeader {
        interface_id: i32::from(b'S'),
        direction: if data.is_empty() { NO_DATA } else { FROM_DISK },
        command_len: 16,
        sense_max: SENSE_BYTES as u8,
        iovec_count: 0,
        data_len: u32::try_from(data.len()).map_err(|_| Errno::INVAL)?,
        data: data.as_mut_ptr().cast(),
        command: command.as_ptr(),
        sense: sense.as_mut_ptr(),
        timeout_ms,
        flags: 0,
        pack_id: 0,
        user: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        message_status: 0,
        sense_len: 0,
        host_status: 0,
        driver_status: 0,
        residual: 0,
        duration: 0,
        info: 0,
    };
    // SAFETY: the header is the one that SG_IO takes; data, command and sense outlive the call with the lengths given.
    unsafe { ioctl(disk, Request(SG_IO, &mut header))? };
    let given = usize::from(header.sense_len).min(SENSE_BYTES);
    Ok(ScsiAnswer {
        status: header.status,
        host_status: header.host_status,
        sense: sense.get(..given).unwrap_or_default().to_vec(),
        residual: usize::try_from(header.residual).unwrap_or(0),
    })
}

/// Sends an admin command that reads into `data`; answers the command's status, 0 for success. The kernel gives up after
/// `timeout_ms`.
pub fn nvme_admin_read(
    disk: impl AsFd,
    opcode: u8,
    namespace: u32,
    word10: u32,
    data: &mut [u8],
    timeout_ms: u32,
) -> Result<u32, Errno> {
    let mut command = NvmeCommand {
        opcode,
        namespace,
        word10,
        address: data.as_mut_ptr() as u64,
        data_len: u32::try_from(data.len()).map_err(|_| Errno::INVAL)?,
        timeout_ms,
        ..NvmeCommand::default()
    };
    // SAFETY: the command is the one that the request takes; the buffer outlives the call with the length given.
    let status = unsafe { ioctl(disk, Request(NVME_ADMIN, &mut command))? };
    Ok(u32::try_from(status).unwrap_or(u32::MAX))
}

/// A request with its structure. rustix has patterns for such requests, but they drop the call's return value, which is
/// the status of an NVMe command.
struct Request<'a, T>(Opcode, &'a mut T);

// SAFETY: the opcode and the structure's type are paired by the two callers above; the pointer is to a live, unique
// borrow.
unsafe impl<T> Ioctl for Request<'_, T> {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.0
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut::<T>(self.1).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<IoctlOutput, Errno> {
        Ok(out)
    }
}
