-- What devices can be found by besides their own row: serial numbers of their parts, addresses, users, printers.
-- section: the inventory section it came from, so that a changed section replaces its own terms alone.
CREATE TABLE device_terms (
    kind TEXT COLLATE "C" NOT NULL,
    term TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    section TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, term, device_id, section)
);
CREATE INDEX device_terms_device ON device_terms (device_id, section);
