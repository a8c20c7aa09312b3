-- One narrow row a device for searching: facts as typed columns, taken out of sections when they change. NULL is what was
-- not observed. Texts are folded. Days count from 1970-01-01; sizes are bytes; flags are 0 and 1.
-- ordinal: a small whole number, so that what a condition finds travels and is combined as a set.
-- software_list, software_base: the list shown and the whole one it is a difference to (itself when it is whole);
-- software_left_out: how many programs of the base it has not.
-- sections: the kinds of sections that were read, one bit each by their number; NOT of a term asks it.
CREATE TABLE device_search (
    ordinal INTEGER NOT NULL PRIMARY KEY,
    device_id TEXT NOT NULL UNIQUE REFERENCES devices (id),
    extractor INTEGER NOT NULL,
    host_name TEXT NOT NULL,
    sections INTEGER NOT NULL,
    words TEXT NOT NULL,
    host_key TEXT NOT NULL,
    plate_key TEXT,
    dependency_key TEXT,
    responsible_key TEXT,
    seat_key TEXT,
    contract_key TEXT,
    supplier_key TEXT,
    manufacturer_key TEXT,
    model_key TEXT,
    chassis TEXT,
    virtualization TEXT,
    firmware_version TEXT,
    cpu_key TEXT,
    architecture TEXT,
    disk_kind TEXT,
    os_key TEXT,
    os_family TEXT,
    os_version TEXT,
    kernel TEXT,
    secure_boot TEXT,
    tpm_version TEXT,
    antivirus_key TEXT,
    domain_key TEXT,
    agent_version TEXT,
    purchase_day INTEGER,
    warranty_day INTEGER,
    firmware_day INTEGER,
    uefi INTEGER,
    sockets INTEGER,
    cores INTEGER,
    threads INTEGER,
    cpu_mhz INTEGER,
    ram_bytes INTEGER,
    ram_installed INTEGER,
    ram_free_slots INTEGER,
    ram_max_bytes INTEGER,
    disk_bytes INTEGER,
    disks INTEGER,
    disk_failing INTEGER,
    disk_used_percent INTEGER,
    encrypted INTEGER,
    os_installed_day INTEGER,
    monitors INTEGER,
    battery_percent INTEGER,
    updates INTEGER,
    security_updates INTEGER,
    reboot INTEGER,
    lists_day INTEGER,
    antivirus_on INTEGER,
    antivirus_day INTEGER,
    firewall INTEGER,
    programs INTEGER,
    software_list INTEGER,
    software_base INTEGER,
    software_left_out INTEGER
) STRICT;
CREATE INDEX device_search_host ON device_search (host_name, device_id, ordinal);
CREATE INDEX device_search_host_key ON device_search (host_key, ordinal);
CREATE INDEX device_search_words ON device_search (words, ordinal);
CREATE INDEX device_search_extractor ON device_search (extractor, ordinal);
CREATE INDEX device_search_plate_key ON device_search (plate_key, ordinal);
CREATE INDEX device_search_dependency_key ON device_search (dependency_key, ordinal);
CREATE INDEX device_search_responsible_key ON device_search (responsible_key, ordinal);
CREATE INDEX device_search_seat_key ON device_search (seat_key, ordinal);
CREATE INDEX device_search_contract_key ON device_search (contract_key, ordinal);
CREATE INDEX device_search_supplier_key ON device_search (supplier_key, ordinal);
CREATE INDEX device_search_model_key ON device_search (model_key, ordinal);
CREATE INDEX device_search_manufacturer_key ON device_search (manufacturer_key, ordinal);
CREATE INDEX device_search_cpu_key ON device_search (cpu_key, ordinal);
CREATE INDEX device_search_os_key ON device_search (os_key, ordinal);
CREATE INDEX device_search_os_version ON device_search (os_version, ordinal);
CREATE INDEX device_search_kernel ON device_search (kernel, ordinal);
CREATE INDEX device_search_agent_version ON device_search (agent_version, ordinal);
CREATE INDEX device_search_disk_kind ON device_search (disk_kind, ordinal);
CREATE INDEX device_search_ram_bytes ON device_search (ram_bytes, ordinal);
CREATE INDEX device_search_cores ON device_search (cores, ordinal);
CREATE INDEX device_search_disk_bytes ON device_search (disk_bytes, ordinal);
CREATE INDEX device_search_purchase_day ON device_search (purchase_day, ordinal);
CREATE INDEX device_search_warranty_day ON device_search (warranty_day, ordinal);
CREATE INDEX device_search_battery_percent ON device_search (battery_percent, ordinal);
CREATE INDEX device_search_updates ON device_search (updates, ordinal);
CREATE INDEX device_search_antivirus_day ON device_search (antivirus_day, ordinal);
CREATE INDEX device_search_firmware_day ON device_search (firmware_day, ordinal);
CREATE INDEX device_search_programs ON device_search (programs, ordinal);
CREATE INDEX device_search_software_list ON device_search (software_list, ordinal);
CREATE INDEX device_search_software_base ON device_search (software_base, software_left_out, ordinal);
CREATE INDEX device_search_sections ON device_search (sections, ordinal);
CREATE INDEX device_search_chassis ON device_search (chassis, ordinal);
CREATE INDEX device_search_os_family ON device_search (os_family, ordinal);
CREATE INDEX device_search_secure_boot ON device_search (secure_boot, ordinal);
CREATE INDEX device_search_tpm_version ON device_search (tpm_version, ordinal);
CREATE INDEX device_search_antivirus_key ON device_search (antivirus_key, ordinal);
CREATE INDEX device_search_domain_key ON device_search (domain_key, ordinal);
CREATE INDEX device_search_virtualization ON device_search (virtualization, ordinal);
CREATE INDEX device_search_firmware_version ON device_search (firmware_version, ordinal);
CREATE INDEX device_search_architecture ON device_search (architecture, ordinal);
CREATE INDEX device_search_disk_failing ON device_search (disk_failing, ordinal);
CREATE INDEX device_search_encrypted ON device_search (encrypted, ordinal);
CREATE INDEX device_search_security_updates ON device_search (security_updates, ordinal);
CREATE INDEX device_search_reboot ON device_search (reboot, ordinal);

ALTER TABLE devices ADD COLUMN search_ordinal INTEGER;
CREATE INDEX devices_search_seen ON devices (last_seen_at_ms, search_ordinal);
CREATE INDEX devices_search_enrolled ON devices (enrolled_at_ms, search_ordinal);
CREATE INDEX devices_search_state ON devices (state, search_ordinal);
CREATE INDEX devices_search_none ON devices (id) WHERE search_ordinal IS NULL;

CREATE INDEX programs_search ON programs (name_key, version, source, id);

-- Queries that people saved.
CREATE TABLE device_lists (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL UNIQUE,
    query TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    shared INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
