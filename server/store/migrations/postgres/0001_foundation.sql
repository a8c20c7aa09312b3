-- The foundation: who, which machines, what was observed, tickets, signed orders, and the record of it all.
-- Times are UTC milliseconds (..._ms). Ids are UUIDv7 text, digests lower-case hex, booleans 0 or 1.

CREATE TABLE store_meta (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- One row per answered create: the same request_id of the same actor gets the same answer.
CREATE TABLE requests (
    actor TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    body_digest TEXT COLLATE "C" NOT NULL,
    response BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (actor, request_id)
);
CREATE INDEX requests_at ON requests (at_ms);

-- The record: every change appends here, in its own transaction. leaf_index is set when the event is sealed.
CREATE TABLE events (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    subject_kind TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    part TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    state TEXT COLLATE "C",
    data TEXT COLLATE "C" NOT NULL,
    personal_digest TEXT COLLATE "C",
    leaf_index BIGINT UNIQUE,
    UNIQUE (subject_kind, subject_id, seq)
);
CREATE INDEX events_unsealed ON events (id) WHERE leaf_index IS NULL;
CREATE INDEX events_at ON events (at_ms, id);

-- What people wrote, with its salt, apart from the record so that it can be erased without breaking the record.
CREATE TABLE event_personal (
    event_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES events (id),
    salt BYTEA NOT NULL,
    body TEXT COLLATE "C" NOT NULL
);

-- The Merkle tree of sealed events (RFC 6962): hashes of full subtrees; level 0 are the leaves.
CREATE TABLE log_nodes (
    level BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (level, idx)
);

CREATE TABLE log_checkpoints (
    size BIGINT NOT NULL PRIMARY KEY,
    root_hash TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    signature BYTEA NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL
);

CREATE TABLE persons (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    login TEXT COLLATE "C" NOT NULL,
    login_key TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    roles TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL,
    lang TEXT COLLATE "C" NOT NULL DEFAULT 'es',
    disabled BIGINT NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 1,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    search_key TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE sessions (
    token_digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    person_id TEXT COLLATE "C" NOT NULL REFERENCES persons (id),
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    last_seen_at_ms BIGINT NOT NULL,
    client TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX sessions_person ON sessions (person_id);
CREATE INDEX sessions_expiry ON sessions (expires_at_ms);

-- Rate limit on log-ins and enrolments: failures in a window, by what is limited (login, address).
CREATE TABLE attempt_limits (
    scope TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    failures BIGINT NOT NULL,
    window_start_ms BIGINT NOT NULL,
    blocked_until_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, subject)
);

CREATE TABLE enrolment_tokens (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    token_digest TEXT COLLATE "C" NOT NULL UNIQUE,
    note TEXT COLLATE "C" NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    max_uses BIGINT NOT NULL,
    uses BIGINT NOT NULL DEFAULT 0,
    revoked_at_ms BIGINT
);

CREATE TABLE devices (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL UNIQUE,
    public_key BYTEA NOT NULL,
    host_name TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'quarantined', 'revoked', 'retired')),
    state_reason TEXT COLLATE "C" NOT NULL DEFAULT '',
    token_id TEXT COLLATE "C",
    enrolled_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    last_boot_id TEXT COLLATE "C",
    agent_version TEXT COLLATE "C" NOT NULL DEFAULT '',
    protocol_version BIGINT NOT NULL DEFAULT 0,
    platform TEXT COLLATE "C" NOT NULL DEFAULT '',
    capabilities TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    last_seen_at_ms BIGINT,
    clock_offset_ms BIGINT,
    plate TEXT COLLATE "C" NOT NULL DEFAULT '',
    serial_number TEXT COLLATE "C" NOT NULL DEFAULT '',
    manufacturer TEXT COLLATE "C" NOT NULL DEFAULT '',
    model TEXT COLLATE "C" NOT NULL DEFAULT '',
    purchase_date TEXT COLLATE "C",
    dependency TEXT COLLATE "C" NOT NULL DEFAULT '',
    responsible TEXT COLLATE "C" NOT NULL DEFAULT '',
    search_key TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX devices_host ON devices (host_name, id);
CREATE INDEX devices_state ON devices (state, id);
CREATE INDEX devices_seen ON devices (last_seen_at_ms);

CREATE TABLE device_certificates (
    serial TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    fingerprint TEXT COLLATE "C" NOT NULL,
    not_before_ms BIGINT NOT NULL,
    not_after_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);
CREATE INDEX device_certificates_device ON device_certificates (device_id, not_after_ms);

-- Two machines under one identity: held until a person decides.
CREATE TABLE device_quarantine (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    known_boot_id TEXT COLLATE "C" NOT NULL,
    other_boot_id TEXT COLLATE "C" NOT NULL,
    known_address TEXT COLLATE "C" NOT NULL DEFAULT '',
    other_address TEXT COLLATE "C" NOT NULL DEFAULT '',
    known_host_name TEXT COLLATE "C" NOT NULL DEFAULT '',
    other_host_name TEXT COLLATE "C" NOT NULL DEFAULT '',
    seen_at_ms BIGINT NOT NULL,
    resolution TEXT COLLATE "C",
    resolved_by TEXT COLLATE "C",
    resolved_at_ms BIGINT
);
CREATE INDEX device_quarantine_device ON device_quarantine (device_id, seen_at_ms);
CREATE INDEX device_quarantine_open ON device_quarantine (seen_at_ms) WHERE resolved_at_ms IS NULL;

-- Facts of a section, stored once by digest however many machines share them.
CREATE TABLE section_contents (
    digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    facts BYTEA NOT NULL,
    first_seen_at_ms BIGINT NOT NULL
);

-- Group writes by device: the key begins with it.
CREATE TABLE device_sections (
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    kind TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL REFERENCES section_contents (digest),
    provenance BYTEA NOT NULL,
    observed_at_ms BIGINT NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    PRIMARY KEY (device_id, kind)
);
CREATE INDEX device_sections_digest ON device_sections (digest);

CREATE TABLE device_section_history (
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    kind TEXT COLLATE "C" NOT NULL,
    from_ms BIGINT NOT NULL,
    to_ms BIGINT,
    digest TEXT COLLATE "C" NOT NULL REFERENCES section_contents (digest),
    provenance BYTEA NOT NULL,
    PRIMARY KEY (device_id, kind, from_ms)
);

-- What changes by the minute (free space, uptime, power-on hours): the last word only.
CREATE TABLE device_volatile (
    device_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES devices (id),
    facts BYTEA NOT NULL,
    at_ms BIGINT NOT NULL
);

CREATE TABLE ticket_numbers (
    year BIGINT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);

CREATE TABLE tickets (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    number TEXT COLLATE "C" NOT NULL UNIQUE,
    year BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL DEFAULT '',
    service TEXT COLLATE "C" NOT NULL DEFAULT '',
    urgency BIGINT,
    impact BIGINT,
    priority BIGINT,
    requester_id TEXT COLLATE "C" NOT NULL,
    assignee_id TEXT COLLATE "C",
    device_id TEXT COLLATE "C" REFERENCES devices (id),
    hold_reason TEXT COLLATE "C" NOT NULL DEFAULT '',
    solution TEXT COLLATE "C" NOT NULL DEFAULT '',
    close_reason TEXT COLLATE "C" NOT NULL DEFAULT '',
    version BIGINT NOT NULL DEFAULT 1,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    solved_at_ms BIGINT,
    closed_at_ms BIGINT,
    search_key TEXT COLLATE "C" NOT NULL DEFAULT '',
    UNIQUE (year, seq)
);
CREATE INDEX tickets_state ON tickets (state, updated_at_ms);
CREATE INDEX tickets_requester ON tickets (requester_id, created_at_ms);
CREATE INDEX tickets_assignee ON tickets (assignee_id, state);
CREATE INDEX tickets_device ON tickets (device_id, created_at_ms);
CREATE INDEX tickets_created ON tickets (created_at_ms, id);

-- What people signed. envelope: the DSSE JSON bytes exactly as they were signed and sent.
CREATE TABLE orders (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    digest TEXT COLLATE "C" NOT NULL UNIQUE,
    envelope BYTEA NOT NULL,
    definition_id TEXT COLLATE "C" NOT NULL,
    definition_version BIGINT NOT NULL,
    definition_digest TEXT COLLATE "C" NOT NULL,
    risk BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL DEFAULT '',
    ticket_id TEXT COLLATE "C" REFERENCES tickets (id),
    requester_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    required_approvals BIGINT NOT NULL,
    target_count BIGINT NOT NULL,
    not_before_ms BIGINT NOT NULL,
    not_after_ms BIGINT NOT NULL,
    cancel_asked_at_ms BIGINT,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    version BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX orders_ticket ON orders (ticket_id, created_at_ms);
CREATE INDEX orders_state ON orders (state, not_after_ms);
CREATE INDEX orders_created ON orders (created_at_ms, id);

CREATE TABLE order_targets (
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    order_id TEXT COLLATE "C" NOT NULL REFERENCES orders (id),
    leaf_index BIGINT NOT NULL,
    leaf BYTEA NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    refusal TEXT COLLATE "C" NOT NULL DEFAULT '',
    detail TEXT COLLATE "C" NOT NULL DEFAULT '',
    sent_at_ms BIGINT,
    updated_at_ms BIGINT NOT NULL,
    result_digest TEXT COLLATE "C",
    PRIMARY KEY (order_id, device_id),
    UNIQUE (order_id, leaf_index)
);
CREATE INDEX order_targets_device ON order_targets (device_id, state);

CREATE TABLE order_statements (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    order_id TEXT COLLATE "C" NOT NULL REFERENCES orders (id),
    person_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    decision TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL UNIQUE,
    envelope BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT,
    UNIQUE (order_id, person_id, decision)
);

-- Exactly one result per order and machine.
CREATE TABLE results (
    order_id TEXT COLLATE "C" NOT NULL REFERENCES orders (id),
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    attempt BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL UNIQUE,
    envelope BYTEA NOT NULL,
    consent BYTEA,
    outcome TEXT COLLATE "C" NOT NULL,
    received_at_ms BIGINT NOT NULL,
    PRIMARY KEY (order_id, device_id)
);

-- Output of a run, in chunks by offset; the same chunk offered again changes nothing.
CREATE TABLE order_output (
    order_id TEXT COLLATE "C" NOT NULL REFERENCES orders (id),
    device_id TEXT COLLATE "C" NOT NULL REFERENCES devices (id),
    stream TEXT COLLATE "C" NOT NULL,
    start_offset BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (order_id, device_id, stream, start_offset)
);

CREATE TABLE trust_documents (
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('root', 'people', 'catalogue')),
    version BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    envelope BYTEA NOT NULL,
    not_after_ms BIGINT,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, version)
);

CREATE TABLE definitions (
    digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX definitions_id ON definitions (id, version);

-- Leases save work; correctness comes from jobs_done and other UNIQUE keys.
CREATE TABLE leases (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    until_ms BIGINT NOT NULL
);

CREATE TABLE jobs_done (
    job TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    due_ms BIGINT NOT NULL,
    done_at_ms BIGINT NOT NULL,
    PRIMARY KEY (job, subject, due_ms)
);
