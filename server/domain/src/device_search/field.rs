//! What devices can be searched by: each field with its names in both languages, its kind, and where it is kept.

use crate::search::fold;

/// What values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Folded text: `:` asks for a part, `=` for the whole.
    Text,
    /// A count or a per cent.
    Number,
    /// Bytes, typed with a unit.
    Bytes,
    /// A calendar day, kept as days since 1970-01-01.
    Day,
    /// A moment, kept as UTC milliseconds; typed as a day or an age.
    Moment,
    /// Yes or no.
    Flag,
    /// A version, compared by its numbers.
    Version,
    /// Parts and addresses of which a device has many; the names of their kinds.
    Terms(&'static [&'static str]),
    /// An installed program, with a version where one is asked for.
    Program,
    /// A saved list.
    List,
}

/// Where a field is kept: a column of the search row, or of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[rustfmt::skip]
#[allow(missing_docs)] // each is described by its field
pub enum Column {
    Host, Plate, Dependency, Responsible, Seat, Contract, Supplier, State, Agent, Purchase, Warranty, Enrolled, Seen,
    Manufacturer, Model, Chassis, Virtualization, Firmware, FirmwareDate, Uefi,
    Cpu, Architecture, Sockets, Cores, Threads, CpuMhz,
    Ram, RamInstalled, RamFreeSlots, RamMax,
    Disk, DiskKind, Disks, DiskFailing, DiskUsed, Encrypted,
    Os, OsFamily, OsVersion, OsInstalled, Kernel,
    SecureBoot, Tpm, Monitors, Battery, Updates, SecurityUpdates, Reboot, ListsDate,
    Antivirus, AntivirusOn, AntivirusDate, Firewall, Domain, Programs,
    Serial, Uuid, Ip, Mac, User, Printer, Software, List,
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// As it is printed.
    pub name: &'static str,
    /// Other names, Spanish first; folded.
    pub aliases: &'static [&'static str],
    /// What its values are.
    pub kind: Kind,
    /// Where it is kept.
    pub column: Column,
    /// What it is, Spanish.
    pub es: &'static str,
    /// What it is, English.
    pub en: &'static str,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.column == other.column
    }
}

impl Eq for Field {}

macro_rules! fields {
    ($($name:literal [$($alias:literal)*] $column:ident: $kind:expr, $es:literal, $en:literal;)*) => {
        /// Every field, in the order in which help shows them.
        pub static FIELDS: &[Field] = &[
            $(Field { name: $name, aliases: &[$($alias),*], kind: $kind, column: Column::$column, es: $es, en: $en },)*
        ];
    };
}

#[rustfmt::skip]
fields! {
    "host" ["equipo" "nombre" "anfitrion" "hostname"] Host: Kind::Text, "nombre del equipo", "host name";
    "plate" ["placa"] Plate: Kind::Text, "placa de inventario", "inventory plate";
    "dependency" ["dependencia" "unidad" "unit"] Dependency: Kind::Text, "dependencia", "organisational unit";
    "responsible" ["responsable" "cuentadante"] Responsible: Kind::Text, "cuentadante", "officer answerable";
    "seat" ["puesto" "ubicacion" "lugar" "place"] Seat: Kind::Text, "edificio, piso, oficina o puesto", "building, floor, room or desk";
    "contract" ["contrato"] Contract: Kind::Text, "contrato de compra", "contract of the purchase";
    "supplier" ["proveedor"] Supplier: Kind::Text, "proveedor", "supplier";
    "state" ["estado"] State: Kind::Text, "active, quarantined, revoked o retired", "active, quarantined, revoked or retired";
    "agent" ["agente"] Agent: Kind::Version, "versión del agente", "version of the agent";
    "purchase" ["compra" "comprado" "purchased"] Purchase: Kind::Day, "día de compra", "day of purchase";
    "warranty" ["garantia" "fin_garantia" "warranty_end"] Warranty: Kind::Day, "último día de la garantía", "last day of the warranty";
    "enrolled" ["inscrito" "inscripcion"] Enrolled: Kind::Moment, "cuándo se inscribió", "when it enrolled";
    "seen" ["visto" "last_seen"] Seen: Kind::Moment, "última señal de vida", "last sign of life";
    "manufacturer" ["fabricante" "marca" "maker" "vendor"] Manufacturer: Kind::Text, "fabricante", "maker";
    "model" ["modelo"] Model: Kind::Text, "modelo", "model";
    "chassis" ["chasis"] Chassis: Kind::Text, "notebook, desktop, mini_tower, …", "notebook, desktop, mini_tower, …";
    "virtualization" ["virtualizacion" "virtual" "vm"] Virtualization: Kind::Text, "kvm, vmware, …; none si es físico", "kvm, vmware, …; none when physical";
    "firmware" ["bios"] Firmware: Kind::Version, "versión del firmware", "firmware version";
    "firmware_date" ["fecha_firmware" "fecha_bios" "bios_date"] FirmwareDate: Kind::Day, "día del firmware", "day the firmware was built";
    "uefi" [] Uefi: Kind::Flag, "arranca por UEFI", "boots by UEFI";
    "cpu" ["procesador" "processor"] Cpu: Kind::Text, "modelo del procesador", "model of the processor";
    "architecture" ["arquitectura" "arch"] Architecture: Kind::Text, "x86_64, aarch64, …", "x86_64, aarch64, …";
    "sockets" ["zocalos"] Sockets: Kind::Number, "procesadores", "processors";
    "cores" ["nucleos"] Cores: Kind::Number, "núcleos", "cores";
    "threads" ["hilos"] Threads: Kind::Number, "hilos", "threads";
    "cpu_mhz" ["mhz"] CpuMhz: Kind::Number, "frecuencia máxima, MHz", "highest frequency, MHz";
    "ram" ["memoria" "memory"] Ram: Kind::Bytes, "memoria instalada; si no se sabe, la visible", "installed memory, else what is visible";
    "ram_installed" ["memoria_instalada"] RamInstalled: Kind::Flag, "si `ram` es la instalada y no la visible", "whether `ram` is the installed and not the visible one";
    "ram_free_slots" ["ranuras_libres"] RamFreeSlots: Kind::Number, "ranuras de memoria libres", "free memory slots";
    "ram_max" ["memoria_maxima"] RamMax: Kind::Bytes, "memoria máxima de la placa", "most memory the board takes";
    "disk" ["disco"] Disk: Kind::Bytes, "tamaño del disco del sistema", "size of the system disk";
    "disk_kind" ["tipo_disco"] DiskKind: Kind::Text, "hdd, ssd, nvme, emmc, virtual", "hdd, ssd, nvme, emmc, virtual";
    "disks" ["discos"] Disks: Kind::Number, "número de discos", "number of disks";
    "disk_failing" ["disco_falla"] DiskFailing: Kind::Flag, "un disco dice que falla", "a disk says that it fails";
    "disk_used" ["disco_gastado"] DiskUsed: Kind::Number, "desgaste del NVMe, por ciento", "wear of the NVMe disk, per cent";
    "encrypted" ["cifrado"] Encrypted: Kind::Flag, "hay cifrado de disco", "has disk encryption";
    "os" ["so" "sistema"] Os: Kind::Text, "sistema operativo", "operating system";
    "os_family" ["familia"] OsFamily: Kind::Text, "linux, windows", "linux, windows";
    "os_version" ["version_so" "version_sistema"] OsVersion: Kind::Version, "versión del sistema", "version of the system";
    "os_installed" ["so_instalado" "sistema_instalado"] OsInstalled: Kind::Day, "día en que se instaló el sistema", "day the system was installed";
    "kernel" ["nucleo"] Kernel: Kind::Version, "núcleo del sistema", "kernel";
    "secure_boot" ["arranque_seguro"] SecureBoot: Kind::Text, "enabled, disabled, unsupported, setup_mode", "enabled, disabled, unsupported, setup_mode";
    "tpm" [] Tpm: Kind::Version, "versión del TPM; 0 si no hay", "version of the TPM; 0 when there is none";
    "monitors" ["monitores" "pantallas" "displays"] Monitors: Kind::Number, "pantallas conectadas", "monitors";
    "battery" ["bateria"] Battery: Kind::Number, "capacidad de la peor batería, por ciento de la nueva", "capacity of the worst battery, per cent of a new one";
    "updates" ["actualizaciones"] Updates: Kind::Number, "actualizaciones pendientes", "pending updates";
    "security_updates" ["actualizaciones_seguridad"] SecurityUpdates: Kind::Number, "de seguridad", "of them for security";
    "reboot" ["reinicio"] Reboot: Kind::Flag, "pide reinicio", "wants to be started anew";
    "lists_date" ["fecha_listas"] ListsDate: Kind::Day, "día de las listas de paquetes", "day of the lists of packages";
    "antivirus" [] Antivirus: Kind::Text, "antivirus", "antivirus";
    "antivirus_on" ["antivirus_activo"] AntivirusOn: Kind::Flag, "un antivirus está activo", "an antivirus is on";
    "antivirus_date" ["fecha_antivirus"] AntivirusDate: Kind::Day, "día de las definiciones más nuevas", "day of the newest definitions";
    "firewall" ["cortafuegos"] Firewall: Kind::Flag, "un cortafuegos está activo", "a firewall is on";
    "domain" ["dominio"] Domain: Kind::Text, "dominio; vacío si no está en ninguno", "domain; empty when in none";
    "programs" ["programas"] Programs: Kind::Number, "número de programas", "number of programs";
    "serial" ["serie" "sn"] Serial: Kind::Terms(&["system_serial", "board_serial", "chassis_serial", "asset_tag", "disk_serial", "memory_serial", "monitor_serial", "battery_serial"]), "serie del equipo o de una parte", "serial number of the machine or of a part";
    "uuid" [] Uuid: Kind::Terms(&["smbios_uuid"]), "UUID del equipo", "UUID of the machine";
    "ip" ["direccion" "address"] Ip: Kind::Terms(&["ip"]), "dirección IP", "IP address";
    "mac" [] Mac: Kind::Terms(&["mac"]), "dirección MAC", "MAC address";
    "user" ["usuario" "login"] User: Kind::Terms(&["user"]), "cuenta de una persona", "account of a person";
    "printer" ["impresora"] Printer: Kind::Terms(&["printer"]), "cola de impresión", "print queue";
    "software" ["programa" "program" "paquete"] Software: Kind::Program, "programa, con versión si se quiere: \"office<2019\"", "program, with a version if wanted: \"office<2019\"";
    "list" ["lista"] List: Kind::List, "lista guardada", "saved list";
}

/// Kinds of terms that a word without a field may be, besides what the device's own row says.
pub const WORD_TERMS: &[&str] = &[
    "system_serial",
    "board_serial",
    "chassis_serial",
    "asset_tag",
    "disk_serial",
    "memory_serial",
    "monitor_serial",
    "battery_serial",
    "smbios_uuid",
    "ip",
    "mac",
    "user",
    "printer",
];

/// The field of a name, without case and accents.
pub fn find(name: &str) -> Option<&'static Field> {
    let name = fold(name);
    FIELDS
        .iter()
        .find(|field| field.name == name || field.aliases.contains(&name.as_str()))
}

/// The field of a column.
pub fn of_column(column: Column) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.column == column)
}

/// The name nearest to one that is none, if one is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = fold(name);
    let most = if name.chars().count() <= 4 { 1 } else { 2 };
    FIELDS
        .iter()
        .flat_map(|field| std::iter::once(&field.name).chain(field.aliases))
        .map(|known| (distance(&name, known), *known))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|(_, known)| known)
}

/// Edits between two short texts: changed, missing, added and exchanged letters (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (
        left.chars().take(32).collect(),
        right.chars().take(32).collect(),
    );
    let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let changed = at(&last, j) + usize::from(a != b);
            let mut least = changed.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if i > 0 && j > 0 && left.get(i - 1) == Some(b) && right.get(j - 1) == Some(a) {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}
