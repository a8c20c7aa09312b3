-- Programs, stored once, and the lists of them that machines share.
CREATE TABLE programs (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    version TEXT NOT NULL,
    architecture TEXT NOT NULL,
    source TEXT NOT NULL,
    publisher TEXT NOT NULL,
    facts BLOB NOT NULL
) STRICT;
CREATE TABLE software_lists (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    base_id INTEGER,
    item_count INTEGER NOT NULL,
    shell BLOB NOT NULL
) STRICT;
CREATE TABLE software_list_programs (
    program_id INTEGER NOT NULL REFERENCES programs (id),
    list_id INTEGER NOT NULL REFERENCES software_lists (id),
    added INTEGER NOT NULL,
    PRIMARY KEY (program_id, list_id)
) STRICT;
