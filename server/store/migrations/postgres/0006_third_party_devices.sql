-- Inventories that other programs send (GLPI Agent, FusionInventory): who may send them, and which devices came that way.
CREATE TABLE inventory_sources (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    secret_digest TEXT COLLATE "C" NOT NULL UNIQUE,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at_ms BIGINT NOT NULL,
    last_used_at_ms BIGINT,
    revoked_at_ms BIGINT
);

-- How the machine's facts come: its own agent, or a third party's, which takes no orders.
ALTER TABLE devices ADD COLUMN origin TEXT COLLATE "C" NOT NULL DEFAULT 'agent'
    CHECK (origin IN ('agent', 'glpi_agent', 'fusioninventory'));

CREATE TABLE third_party_devices (
    source_id TEXT COLLATE "C" NOT NULL REFERENCES inventory_sources (id),
    external_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES devices (id),
    agent_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    tag TEXT COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (source_id, external_id)
);
