-- What people say of a device beyond the foundation's columns, and devices that may be one machine.
-- cost_minor: hundredths of the currency. facts_version: grows with each change of what people typed.
-- plate_key: the plate folded, for finding it and for refusing it twice.
ALTER TABLE devices ADD COLUMN seat TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN contract TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN warranty_end TEXT COLLATE "C";
ALTER TABLE devices ADD COLUMN supplier TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN invoice TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN note TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN cost_minor BIGINT;
ALTER TABLE devices ADD COLUMN currency TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN facts_version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE devices ADD COLUMN plate_key TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE devices SET plate_key = lower(trim(plate));
CREATE INDEX devices_plate_key ON devices (plate_key) WHERE plate_key <> '';

-- merged_into: the device that goes on with this one. match_due_ms: when to look whether it is a known machine.
ALTER TABLE devices ADD COLUMN merged_into TEXT COLLATE "C";
ALTER TABLE devices ADD COLUMN match_due_ms BIGINT;
CREATE INDEX devices_merged ON devices (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX devices_match_due ON devices (match_due_ms) WHERE match_due_ms IS NOT NULL;

-- Two devices that may be one machine. device_id enrolled later and goes on after a merge. findings: JSON.
CREATE TABLE device_matches (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    other_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    verdict TEXT COLLATE "C" NOT NULL CHECK (verdict IN ('same', 'ambiguous')),
    kind TEXT COLLATE "C" NOT NULL,
    findings TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'merged', 'apart', 'withdrawn')),
    proposed_at_ms BIGINT NOT NULL,
    resolved_at_ms BIGINT,
    resolved_by TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL DEFAULT '',
    UNIQUE (device_id, other_id)
);
CREATE INDEX device_matches_state ON device_matches (state, proposed_at_ms, id);
CREATE INDEX device_matches_other ON device_matches (other_id);

-- Merges, so that each can be undone. facts_*: what people had typed of the device that goes on, JSON.
CREATE TABLE device_merges (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    match_id TEXT COLLATE "C" NOT NULL REFERENCES device_matches (id),
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    retired_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    state_before TEXT COLLATE "C" NOT NULL,
    facts_before TEXT COLLATE "C" NOT NULL,
    facts_after TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    split_at_ms BIGINT
);
CREATE INDEX device_merges_retired ON device_merges (retired_id, at_ms);
CREATE INDEX device_merges_device ON device_merges (device_id, at_ms);
