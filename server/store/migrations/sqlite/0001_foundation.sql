-- The foundation: who, which machines, what was observed, tickets, signed orders, and the record of it all.
-- Times are UTC milliseconds (..._ms). Ids are UUIDv7 text, digests lower-case hex, booleans 0 or 1.

CREATE TABLE store_meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One row per answered create: the same request_id of the same actor gets the same answer.
CREATE TABLE requests (
    actor TEXT NOT NULL,
    request_id TEXT NOT NULL,
    method TEXT NOT NULL,
    body_digest TEXT NOT NULL,
    response BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (actor, request_id)
) STRICT;
CREATE INDEX requests_at ON requests (at_ms);

-- The record: every change appends here, in its own transaction. leaf_index is set when the event is sealed.
CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    part TEXT,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    state TEXT,
    data TEXT NOT NULL,
    personal_digest TEXT,
    leaf_index INTEGER UNIQUE,
    UNIQUE (subject_kind, subject_id, seq)
) STRICT;
CREATE INDEX events_unsealed ON events (id) WHERE leaf_index IS NULL;
CREATE INDEX events_at ON events (at_ms, id);

-- What people wrote, with its salt, apart from the record so that it can be erased without breaking the record.
CREATE TABLE event_personal (
    event_id TEXT NOT NULL PRIMARY KEY REFERENCES events (id),
    salt BLOB NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- The Merkle tree of sealed events (RFC 6962): hashes of full subtrees; level 0 are the leaves.
CREATE TABLE log_nodes (
    level INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (level, idx)
) STRICT;

CREATE TABLE log_checkpoints (
    size INTEGER NOT NULL PRIMARY KEY,
    root_hash TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    signature BLOB NOT NULL,
    key_id TEXT NOT NULL
) STRICT;

CREATE TABLE persons (
    id TEXT NOT NULL PRIMARY KEY,
    login TEXT NOT NULL,
    login_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    roles TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    lang TEXT NOT NULL DEFAULT 'es',
    disabled INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 1,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    search_key TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE sessions (
    token_digest TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    person_id TEXT NOT NULL REFERENCES persons (id),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    last_seen_at_ms INTEGER NOT NULL,
    client TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX sessions_person ON sessions (person_id);
CREATE INDEX sessions_expiry ON sessions (expires_at_ms);

-- Rate limit on log-ins and enrolments: failures in a window, by what is limited (login, address).
CREATE TABLE attempt_limits (
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    failures INTEGER NOT NULL,
    window_start_ms INTEGER NOT NULL,
    blocked_until_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, subject)
) STRICT;

CREATE TABLE enrolment_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    token_digest TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    max_uses INTEGER NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0,
    revoked_at_ms INTEGER
) STRICT;

CREATE TABLE devices (
    id TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    public_key BLOB NOT NULL,
    host_name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'quarantined', 'revoked', 'retired')),
    state_reason TEXT NOT NULL DEFAULT '',
    token_id TEXT,
    enrolled_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    last_boot_id TEXT,
    agent_version TEXT NOT NULL DEFAULT '',
    protocol_version INTEGER NOT NULL DEFAULT 0,
    platform TEXT NOT NULL DEFAULT '',
    capabilities TEXT NOT NULL DEFAULT '[]',
    last_seen_at_ms INTEGER,
    clock_offset_ms INTEGER,
    plate TEXT NOT NULL DEFAULT '',
    serial_number TEXT NOT NULL DEFAULT '',
    manufacturer TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    purchase_date TEXT,
    dependency TEXT NOT NULL DEFAULT '',
    responsible TEXT NOT NULL DEFAULT '',
    search_key TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX devices_host ON devices (host_name, id);
CREATE INDEX devices_state ON devices (state, id);
CREATE INDEX devices_seen ON devices (last_seen_at_ms);

CREATE TABLE device_certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    device_id TEXT NOT NULL REFERENCES devices (id),
    fingerprint TEXT NOT NULL,
    not_before_ms INTEGER NOT NULL,
    not_after_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER
) STRICT;
CREATE INDEX device_certificates_device ON device_certificates (device_id, not_after_ms);

-- Two machines under one identity: held until a person decides.
CREATE TABLE device_quarantine (
    id TEXT NOT NULL PRIMARY KEY,
    device_id TEXT NOT NULL REFERENCES devices (id),
    known_boot_id TEXT NOT NULL,
    other_boot_id TEXT NOT NULL,
    known_address TEXT NOT NULL DEFAULT '',
    other_address TEXT NOT NULL DEFAULT '',
    known_host_name TEXT NOT NULL DEFAULT '',
    other_host_name TEXT NOT NULL DEFAULT '',
    seen_at_ms INTEGER NOT NULL,
    resolution TEXT,
    resolved_by TEXT,
    resolved_at_ms INTEGER
) STRICT;
CREATE INDEX device_quarantine_device ON device_quarantine (device_id, seen_at_ms);
CREATE INDEX device_quarantine_open ON device_quarantine (seen_at_ms) WHERE resolved_at_ms IS NULL;

-- Facts of a section, stored once by digest however many machines share them.
CREATE TABLE section_contents (
    digest TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    facts BLOB NOT NULL,
    first_seen_at_ms INTEGER NOT NULL
) STRICT;

-- Group writes by device: the key begins with it.
CREATE TABLE device_sections (
    device_id TEXT NOT NULL REFERENCES devices (id),
    kind TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES section_contents (digest),
    provenance BLOB NOT NULL,
    observed_at_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (device_id, kind)
) STRICT;
CREATE INDEX device_sections_digest ON device_sections (digest);

CREATE TABLE device_section_history (
    device_id TEXT NOT NULL REFERENCES devices (id),
    kind TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER,
    digest TEXT NOT NULL REFERENCES section_contents (digest),
    provenance BLOB NOT NULL,
    PRIMARY KEY (device_id, kind, from_ms)
) STRICT;

-- What changes by the minute (free space, uptime, power-on hours): the last word only.
CREATE TABLE device_volatile (
    device_id TEXT NOT NULL PRIMARY KEY REFERENCES devices (id),
    facts BLOB NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE ticket_numbers (
    year INTEGER NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;

CREATE TABLE tickets (
    id TEXT NOT NULL PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    year INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    state TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT '',
    service TEXT NOT NULL DEFAULT '',
    urgency INTEGER,
    impact INTEGER,
    priority INTEGER,
    requester_id TEXT NOT NULL,
    assignee_id TEXT,
    device_id TEXT REFERENCES devices (id),
    hold_reason TEXT NOT NULL DEFAULT '',
    solution TEXT NOT NULL DEFAULT '',
    close_reason TEXT NOT NULL DEFAULT '',
    version INTEGER NOT NULL DEFAULT 1,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    solved_at_ms INTEGER,
    closed_at_ms INTEGER,
    search_key TEXT NOT NULL DEFAULT '',
    UNIQUE (year, seq)
) STRICT;
CREATE INDEX tickets_state ON tickets (state, updated_at_ms);
CREATE INDEX tickets_requester ON tickets (requester_id, created_at_ms);
CREATE INDEX tickets_assignee ON tickets (assignee_id, state);
CREATE INDEX tickets_device ON tickets (device_id, created_at_ms);
CREATE INDEX tickets_created ON tickets (created_at_ms, id);

-- What people signed. envelope: the DSSE JSON bytes exactly as they were signed and sent.
CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    envelope BLOB NOT NULL,
    definition_id TEXT NOT NULL,
    definition_version INTEGER NOT NULL,
    definition_digest TEXT NOT NULL,
    risk INTEGER NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    ticket_id TEXT REFERENCES tickets (id),
    requester_id TEXT NOT NULL,
    state TEXT NOT NULL,
    required_approvals INTEGER NOT NULL,
    target_count INTEGER NOT NULL,
    not_before_ms INTEGER NOT NULL,
    not_after_ms INTEGER NOT NULL,
    cancel_asked_at_ms INTEGER,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX orders_ticket ON orders (ticket_id, created_at_ms);
CREATE INDEX orders_state ON orders (state, not_after_ms);
CREATE INDEX orders_created ON orders (created_at_ms, id);

CREATE TABLE order_targets (
    device_id TEXT NOT NULL REFERENCES devices (id),
    order_id TEXT NOT NULL REFERENCES orders (id),
    leaf_index INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    state TEXT NOT NULL,
    refusal TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    sent_at_ms INTEGER,
    updated_at_ms INTEGER NOT NULL,
    result_digest TEXT,
    PRIMARY KEY (order_id, device_id),
    UNIQUE (order_id, leaf_index)
) STRICT;
CREATE INDEX order_targets_device ON order_targets (device_id, state);

CREATE TABLE order_statements (
    id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (id),
    person_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    decision TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    envelope BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    UNIQUE (order_id, person_id, decision)
) STRICT;

-- Exactly one result per order and machine.
CREATE TABLE results (
    order_id TEXT NOT NULL REFERENCES orders (id),
    device_id TEXT NOT NULL REFERENCES devices (id),
    attempt INTEGER NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    envelope BLOB NOT NULL,
    consent BLOB,
    outcome TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (order_id, device_id)
) STRICT;

-- Output of a run, in chunks by offset; the same chunk offered again changes nothing.
CREATE TABLE order_output (
    order_id TEXT NOT NULL REFERENCES orders (id),
    device_id TEXT NOT NULL REFERENCES devices (id),
    stream TEXT NOT NULL,
    start_offset INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (order_id, device_id, stream, start_offset)
) STRICT;

CREATE TABLE trust_documents (
    kind TEXT NOT NULL CHECK (kind IN ('root', 'people', 'catalogue')),
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    envelope BLOB NOT NULL,
    not_after_ms INTEGER,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, version)
) STRICT;

CREATE TABLE definitions (
    digest TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX definitions_id ON definitions (id, version);

-- Leases save work; correctness comes from jobs_done and other UNIQUE keys.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE jobs_done (
    job TEXT NOT NULL,
    subject TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    done_at_ms INTEGER NOT NULL,
    PRIMARY KEY (job, subject, due_ms)
) STRICT;
