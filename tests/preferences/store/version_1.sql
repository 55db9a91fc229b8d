-- The tables of version 1 in SQLite, as stores of that version have them. Never change this file.
PRAGMA application_id = 1886679652;
CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    applied_at DOUBLE NOT NULL,
    PRIMARY KEY (version)
);
CREATE TABLE items (
    item_id INTEGER NOT NULL,
    external_id TEXT NOT NULL,
    public_id BIGINT NOT NULL,
    content_hash TEXT NOT NULL,
    prompt TEXT NOT NULL,
    columns TEXT NOT NULL,
    gold_ranks TEXT NOT NULL,
    source TEXT NOT NULL,
    added_at DOUBLE NOT NULL,
    PRIMARY KEY (item_id),
    UNIQUE (external_id),
    UNIQUE (public_id)
);
CREATE TABLE annotators (
    annotator_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('annotator', 'reviewer', 'admin')),
    password_hash TEXT,
    invite_hash TEXT,
    invite_expires_at DOUBLE,
    created_at DOUBLE NOT NULL,
    disabled_at DOUBLE,
    shuffle_seed INTEGER NOT NULL,
    PRIMARY KEY (annotator_id),
    UNIQUE (name_key),
    UNIQUE (invite_hash)
);
CREATE TABLE login_attempts (
    attempt_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    attempted_at DOUBLE NOT NULL,
    succeeded BOOLEAN NOT NULL,
    PRIMARY KEY (attempt_id)
);
CREATE TABLE guidelines (
    version INTEGER NOT NULL,
    text TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    author TEXT NOT NULL,
    PRIMARY KEY (version)
);
CREATE TABLE settings (
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY ("key")
);
CREATE TABLE responses (
    item_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    model TEXT NOT NULL,
    PRIMARY KEY (item_id, position),
    FOREIGN KEY(item_id) REFERENCES items (item_id)
);
CREATE TABLE queue_entries (
    item_id BIGINT NOT NULL,
    queue_key DOUBLE NOT NULL,
    queue TEXT NOT NULL,
    is_gold BOOLEAN NOT NULL,
    overlap INTEGER,
    num_judges INTEGER NOT NULL,
    is_open BOOLEAN NOT NULL,
    PRIMARY KEY (item_id),
    FOREIGN KEY(item_id) REFERENCES items (item_id)
);
CREATE TABLE web_sessions (
    token_hash TEXT NOT NULL,
    annotator_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    last_seen_at DOUBLE NOT NULL,
    expires_at DOUBLE NOT NULL,
    PRIMARY KEY (token_hash),
    FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id)
);
CREATE TABLE audit_log (
    entry_id INTEGER NOT NULL,
    happened_at DOUBLE NOT NULL,
    annotator_id INTEGER,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    address TEXT NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (entry_id),
    FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id)
);
CREATE TABLE leases (
    item_id INTEGER NOT NULL,
    annotator_id INTEGER NOT NULL,
    leased_at DOUBLE NOT NULL,
    expires_at DOUBLE NOT NULL,
    own_number INTEGER NOT NULL,
    PRIMARY KEY (item_id, annotator_id),
    FOREIGN KEY(item_id) REFERENCES items (item_id),
    FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id)
);
CREATE TABLE drafts (
    item_id INTEGER NOT NULL,
    annotator_id INTEGER NOT NULL,
    content TEXT NOT NULL,
    revision INTEGER NOT NULL,
    updated_at DOUBLE NOT NULL,
    PRIMARY KEY (annotator_id, item_id),
    FOREIGN KEY(item_id) REFERENCES items (item_id),
    FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id)
);
CREATE TABLE seen_others (
    item_id INTEGER NOT NULL,
    annotator_id INTEGER NOT NULL,
    seen_at DOUBLE NOT NULL,
    PRIMARY KEY (annotator_id, item_id),
    FOREIGN KEY(item_id) REFERENCES items (item_id),
    FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id)
);
CREATE TABLE queue_cursors (
    annotator_id INTEGER NOT NULL,
    queue_key DOUBLE NOT NULL,
    item_id INTEGER NOT NULL,
    queue_version INTEGER NOT NULL,
    num_handed_out INTEGER NOT NULL,
    PRIMARY KEY (annotator_id),
    FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id)
);
CREATE TABLE judgements (
    judgement_id INTEGER NOT NULL,
    submission_id TEXT NOT NULL,
    item_id INTEGER NOT NULL,
    annotator_id INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('ranking', 'cannot_rank', 'skip')),
    ranks TEXT NOT NULL,
    unacceptable TEXT NOT NULL,
    grades TEXT NOT NULL,
    tags TEXT NOT NULL,
    note TEXT NOT NULL,
    is_flagged BOOLEAN NOT NULL,
    settles BOOLEAN NOT NULL,
    order_shown TEXT NOT NULL,
    guideline_version INTEGER,
    seconds DOUBLE NOT NULL,
    submitted_at DOUBLE NOT NULL,
    replaces INTEGER,
    PRIMARY KEY (judgement_id),
    UNIQUE (submission_id),
    FOREIGN KEY(item_id) REFERENCES items (item_id),
    FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id),
    FOREIGN KEY(guideline_version) REFERENCES guidelines (version),
    UNIQUE (replaces),
    FOREIGN KEY(replaces) REFERENCES judgements (judgement_id)
);
CREATE TABLE current_judgements (
    annotator_id INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    judgement_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    own_number INTEGER,
    PRIMARY KEY (annotator_id, item_id),
    FOREIGN KEY(annotator_id) REFERENCES annotators (annotator_id),
    FOREIGN KEY(item_id) REFERENCES items (item_id),
    UNIQUE (judgement_id),
    FOREIGN KEY(judgement_id) REFERENCES judgements (judgement_id)
);
CREATE INDEX ix_login_attempts_name ON login_attempts (name);
CREATE INDEX ix_login_attempts_address ON login_attempts (address);
CREATE INDEX ix_login_attempts_attempted_at ON login_attempts (attempted_at);
CREATE INDEX queue_of_gold ON queue_entries (queue_key, item_id) WHERE is_gold = 1;
CREATE INDEX queue_order ON queue_entries (queue_key, item_id) WHERE is_open = 1 AND is_gold = 0;
CREATE INDEX ix_web_sessions_expires_at ON web_sessions (expires_at);
CREATE INDEX ix_web_sessions_annotator_id ON web_sessions (annotator_id);
CREATE INDEX ix_leases_annotator_id ON leases (annotator_id);
CREATE UNIQUE INDEX first_judgements ON judgements (item_id, annotator_id) WHERE replaces IS NULL;
CREATE INDEX ix_current_judgements_item_id ON current_judgements (item_id);
CREATE INDEX history_of_annotator ON current_judgements (annotator_id, judgement_id);
CREATE TRIGGER judgements_refuse_update BEFORE UPDATE ON judgements BEGIN SELECT RAISE(ABORT, 'judgements are only appended: submit one that replaces the other'); END;
CREATE TRIGGER judgements_refuse_delete BEFORE DELETE ON judgements BEGIN SELECT RAISE(ABORT, 'judgements are only appended: submit one that replaces the other'); END;
CREATE TRIGGER judgements_refuse_replace BEFORE INSERT ON judgements WHEN EXISTS (SELECT 1 FROM judgements WHERE judgement_id = NEW.judgement_id) OR EXISTS (SELECT 1 FROM judgements WHERE submission_id = NEW.submission_id) OR EXISTS (SELECT 1 FROM judgements WHERE replaces = NEW.replaces) OR EXISTS (SELECT 1 FROM judgements WHERE replaces IS NULL AND item_id = NEW.item_id AND annotator_id = NEW.annotator_id AND NEW.replaces IS NULL) BEGIN SELECT RAISE(ABORT, 'judgements are only appended: submit one that replaces the other'); END;
INSERT INTO schema_version (version, applied_at) VALUES (1, 1000000.0);
