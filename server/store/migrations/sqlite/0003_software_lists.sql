-- Programs stored once; a machine's list of them is whole or a difference to a whole one. The row in section_contents of a
-- list kept here has no facts of its own. base_id is checked at the commit, so that lists can be restored in any order.
CREATE TABLE programs (
    id INTEGER NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    version TEXT NOT NULL,
    architecture TEXT NOT NULL,
    source TEXT NOT NULL,
    publisher TEXT NOT NULL,
    facts BLOB NOT NULL
) STRICT;
CREATE INDEX programs_name ON programs (name_key, version);

CREATE TABLE software_lists (
    id INTEGER NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    base_id INTEGER REFERENCES software_lists (id) DEFERRABLE INITIALLY DEFERRED,
    item_count INTEGER NOT NULL,
    shell BLOB NOT NULL
) STRICT;
CREATE INDEX software_lists_base ON software_lists (base_id);

CREATE TABLE software_list_programs (
    program_id INTEGER NOT NULL REFERENCES programs (id),
    list_id INTEGER NOT NULL REFERENCES software_lists (id),
    added INTEGER NOT NULL,
    PRIMARY KEY (program_id, list_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX software_list_programs_list ON software_list_programs (list_id, added);

-- The sweep asks whether a content is shown or was shown anywhere.
CREATE INDEX device_section_history_digest ON device_section_history (digest);
CREATE INDEX device_section_history_ended ON device_section_history (to_ms) WHERE to_ms IS NOT NULL;
CREATE INDEX section_contents_seen ON section_contents (first_seen_at_ms, digest);

-- A part that left a machine, or that turned up in another one, until somebody says what it was.
CREATE TABLE inventory_alarms (
    id TEXT NOT NULL PRIMARY KEY,
    device_id TEXT NOT NULL REFERENCES devices (id),
    other_device_id TEXT,
    part TEXT NOT NULL,
    serial TEXT NOT NULL,
    name TEXT NOT NULL,
    happened TEXT NOT NULL,
    level TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    acknowledged_at_ms INTEGER,
    acknowledged_by TEXT,
    reason TEXT
) STRICT;
CREATE INDEX inventory_alarms_device ON inventory_alarms (device_id, id);
CREATE INDEX inventory_alarms_open ON inventory_alarms (id) WHERE acknowledged_at_ms IS NULL;
CREATE INDEX inventory_alarms_serial ON inventory_alarms (part, serial, id);
