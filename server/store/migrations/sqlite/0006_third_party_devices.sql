-- Inventories that other programs send (GLPI Agent, FusionInventory): who may send them, and which devices came that way.
CREATE TABLE inventory_sources (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    secret_digest TEXT NOT NULL UNIQUE,
    created_by TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    last_used_at_ms INTEGER,
    revoked_at_ms INTEGER
) STRICT;

-- How the machine's facts come: its own agent, or a third party's, which takes no orders.
ALTER TABLE devices ADD COLUMN origin TEXT NOT NULL DEFAULT 'agent'
    CHECK (origin IN ('agent', 'glpi_agent', 'fusioninventory'));

CREATE TABLE third_party_devices (
    source_id TEXT NOT NULL REFERENCES inventory_sources (id),
    external_id TEXT NOT NULL,
    device_id TEXT NOT NULL UNIQUE REFERENCES devices (id),
    agent_id TEXT NOT NULL DEFAULT '',
    tag TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (source_id, external_id)
) STRICT, WITHOUT ROWID;
