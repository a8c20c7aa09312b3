-- What devices can be found by besides their own row: serial numbers of their parts, addresses, users, printers.
-- section: the inventory section it came from, so that a changed section replaces its own terms alone.
CREATE TABLE device_terms (
    kind TEXT NOT NULL,
    term TEXT NOT NULL,
    device_id TEXT NOT NULL REFERENCES devices (id),
    section TEXT NOT NULL,
    PRIMARY KEY (kind, term, device_id, section)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_terms_device ON device_terms (device_id, section);
