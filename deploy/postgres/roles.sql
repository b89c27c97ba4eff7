-- One role and one database for each unit that keeps state. A role owns its database, may enter no other, and does not
-- bypass row level security: the units refuse to start as one that does.
--
-- For psql, as a superuser. Each unit's password stands alone in a file of the folder that PASSWORDS names.

\set ON_ERROR_STOP on

\set config_password `cat "${PASSWORDS:-/run/secrets}/postgres-config"`
\set registry_password `cat "${PASSWORDS:-/run/secrets}/postgres-registry"`
\set marketplace_password `cat "${PASSWORDS:-/run/secrets}/postgres-marketplace"`
\set files_password `cat "${PASSWORDS:-/run/secrets}/postgres-files"`
\set runtime_password `cat "${PASSWORDS:-/run/secrets}/postgres-runtime"`

-- No statement with a password is logged.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET password_encryption = 'scram-sha-256';

CREATE ROLE hardpoint_config LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'config_password';
CREATE ROLE hardpoint_registry LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'registry_password';
CREATE ROLE hardpoint_marketplace LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'marketplace_password';
CREATE ROLE hardpoint_files LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'files_password';
CREATE ROLE hardpoint_runtime LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'runtime_password';

CREATE DATABASE hardpoint_config OWNER hardpoint_config;
CREATE DATABASE hardpoint_registry OWNER hardpoint_registry;
CREATE DATABASE hardpoint_marketplace OWNER hardpoint_marketplace;
CREATE DATABASE hardpoint_files OWNER hardpoint_files;
CREATE DATABASE hardpoint_runtime OWNER hardpoint_runtime;

REVOKE ALL ON DATABASE hardpoint_config, hardpoint_registry, hardpoint_marketplace, hardpoint_files, hardpoint_runtime
    FROM PUBLIC;
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
