-- The ConfigCache, version 1. Applied once to a new file, inside one transaction (connection.c).
--
-- The text of each CREATE statement is part of the format: an opened file must have exactly these,
-- so an edit inside one, even of white space, needs a new version and a migration beside it.
--
-- Each `digest` is the SHA-256 of the row's other fields in column order (row.h), `id` and `image`
-- excepted: `sha256` stands for the image. So a changed byte in any field is found when it is used.

PRAGMA application_id = 1952870256; -- "tfop"

-- Tuning results. The unique index is the look-up by key and the canonical order.
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL,
    op TEXT NOT NULL,
    spec_version INTEGER NOT NULL CHECK (spec_version BETWEEN 0 AND 4294967295),
    problem TEXT NOT NULL,
    extent INTEGER NOT NULL CHECK (extent >= 0),
    config TEXT NOT NULL,
    binary_sha256 BLOB NOT NULL CHECK (length(binary_sha256) = 32),
    median_ns REAL NOT NULL,
    low_ns REAL NOT NULL,
    high_ns REAL NOT NULL,
    default_ns REAL NOT NULL,
    runner_up TEXT NOT NULL,
    runner_up_ns REAL NOT NULL,
    samples INTEGER NOT NULL CHECK (samples BETWEEN 0 AND 4294967295),
    error REAL NOT NULL,
    sm_clock_mhz INTEGER NOT NULL,
    driver TEXT NOT NULL,
    nvrtc TEXT NOT NULL,
    host TEXT NOT NULL,
    tfops_version TEXT NOT NULL,
    date TEXT NOT NULL,
    provenance TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    UNIQUE (sku, op, spec_version, problem, extent)
) STRICT;

CREATE INDEX record_pin ON record (binary_sha256);

-- Compiled kernels, named by their content. `image` is last: the rest is read without its pages.
CREATE TABLE binary (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    build_key BLOB NOT NULL CHECK (length(build_key) = 32),
    abi BLOB NOT NULL CHECK (length(abi) = 32),
    op TEXT NOT NULL,
    arch TEXT NOT NULL,
    entry TEXT NOT NULL,
    config TEXT NOT NULL,
    nvrtc TEXT NOT NULL,
    date TEXT NOT NULL,
    registers INTEGER NOT NULL,
    spill_bytes INTEGER NOT NULL,
    smem_static_bytes INTEGER NOT NULL,
    threads INTEGER NOT NULL,
    min_blocks INTEGER NOT NULL,
    cluster INTEGER NOT NULL,
    smem_bytes INTEGER NOT NULL,
    param_bytes INTEGER NOT NULL,
    min_driver INTEGER NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    image BLOB NOT NULL
) STRICT;

-- What a binary was built from: many build keys may lead to one binary.
CREATE TABLE build (
    id INTEGER PRIMARY KEY,
    build_key BLOB NOT NULL UNIQUE CHECK (length(build_key) = 32),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;

-- Samples of tuning runs that have not ended.
CREATE TABLE sample (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL,
    op TEXT NOT NULL,
    spec_version INTEGER NOT NULL CHECK (spec_version BETWEEN 0 AND 4294967295),
    problem TEXT NOT NULL,
    extent INTEGER NOT NULL CHECK (extent >= 0),
    config TEXT NOT NULL,
    samples TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    UNIQUE (sku, op, spec_version, problem, extent, config)
) STRICT;

PRAGMA user_version = 1;
