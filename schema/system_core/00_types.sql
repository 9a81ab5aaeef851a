/*
 * Types that every schema shares: one domain per meaning.
 *
 * A domain says what a column holds ("an e-mail address", "a percentage") once, in the
 * database, and is the contract between the schema and datagen: the generator of a domain
 * has the domain's name. Structure that belongs to one table only is a CHECK beside it.
 */

CREATE SCHEMA system_core;
GRANT USAGE ON SCHEMA system_core TO app_user, app_readonly;
COMMENT ON SCHEMA system_core IS
    'Shared services: activity, notifications, files, tags and comments, jobs, settings.';

-- btree_gist lets an exclusion constraint start with business_id. btree_gin lets a full-text or
-- trigram index do so: under row security an operator that is not leakproof (@@, %, ~~) is only
-- asked about rows that passed the policy, so the tenant in the index is what narrows the search.
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;


-- Money and measures. One width per meaning, so that sums of one meaning never need a cast.

CREATE DOMAIN system_core.money AS numeric(14, 2);
COMMENT ON DOMAIN system_core.money IS 'An amount in the currency of its row or of the business.';

CREATE DOMAIN system_core.unit_price AS numeric(16, 6);
COMMENT ON DOMAIN system_core.unit_price IS 'Price or cost of one unit; finer than a cent.';

CREATE DOMAIN system_core.quantity AS numeric(14, 4);
COMMENT ON DOMAIN system_core.quantity IS 'A measured amount in the unit its row names.';

CREATE DOMAIN system_core.percentage AS numeric(9, 4);
COMMENT ON DOMAIN system_core.percentage IS
    '12.5 means 12.5 %; a table bounds it where 100 is the end.';

CREATE DOMAIN system_core.rate AS numeric(12, 6);
COMMENT ON DOMAIN system_core.rate IS
    'A factor: 0.0825 is a tax of 8.25 %, 1.0841 an exchange rate.';

CREATE DOMAIN system_core.probability AS numeric(7, 6)
    CONSTRAINT probability_between_0_and_1 CHECK (value BETWEEN 0 AND 1);

CREATE DOMAIN system_core.score AS numeric(9, 4);
COMMENT ON DOMAIN system_core.score IS 'Points on a scale that the column or table bounds.';

CREATE DOMAIN system_core.milliseconds AS numeric(12, 3)
    CONSTRAINT milliseconds_not_negative CHECK (value >= 0);

CREATE DOMAIN system_core.latitude AS double precision
    CONSTRAINT latitude_on_earth CHECK (value BETWEEN -90 AND 90);

CREATE DOMAIN system_core.longitude AS double precision
    CONSTRAINT longitude_on_earth CHECK (value BETWEEN -180 AND 180);


-- Codes of the outside world.

CREATE DOMAIN system_core.country AS text
    CONSTRAINT country_iso_3166_alpha_2 CHECK (value ~ '^[A-Z]{2}$');

CREATE DOMAIN system_core.region AS text
    CONSTRAINT region_iso_3166_2_part CHECK (value ~ '^[A-Z0-9]{1,3}$');
COMMENT ON DOMAIN system_core.region IS
    'State or province: the part of ISO 3166-2 after the country.';

CREATE DOMAIN system_core.currency AS text
    CONSTRAINT currency_iso_4217 CHECK (value ~ '^[A-Z]{3}$');

CREATE DOMAIN system_core.locale AS text
    CONSTRAINT locale_bcp_47 CHECK (value ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$');

CREATE DOMAIN system_core.time_zone AS text
    CONSTRAINT time_zone_iana CHECK (value ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_+-]+){1,2})$');

CREATE DOMAIN system_core.postal_code AS text
    CONSTRAINT postal_code_shape CHECK (value ~ '^[A-Z0-9][A-Z0-9 -]{1,9}$');

CREATE DOMAIN system_core.media_type AS text
    CONSTRAINT media_type_rfc_6838 CHECK (value ~ '^[a-z]+/[a-z0-9.+-]+$');


-- How people and machines are reached.

CREATE DOMAIN system_core.email AS text
    CONSTRAINT email_has_local_part_and_host CHECK (value ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$');

CREATE DOMAIN system_core.phone AS text
    CONSTRAINT phone_e164 CHECK (value ~ '^\+[1-9][0-9]{6,14}$');

CREATE DOMAIN system_core.url AS text
    CONSTRAINT url_http CHECK (value ~ '^https?://[^\s]+$');

CREATE DOMAIN system_core.host_name AS text
    CONSTRAINT host_name_rfc_1123
        CHECK (value ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$');


-- Identifiers, references and documents.

CREATE DOMAIN system_core.slug AS text
    CONSTRAINT slug_shape CHECK (value ~ '^[a-z0-9]+(-[a-z0-9]+)*$');

CREATE DOMAIN system_core.code AS text
    CONSTRAINT code_shape CHECK (value ~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$');
COMMENT ON DOMAIN system_core.code IS 'Short stable identifier that people and programs both use.';

CREATE DOMAIN system_core.person_name AS text
    CONSTRAINT person_name_not_blank CHECK (value ~ '\S');

CREATE DOMAIN system_core.sha256 AS bytea
    CONSTRAINT sha256_is_32_bytes CHECK (length(value) = 32);

CREATE DOMAIN system_core.vault_ref AS text
    CONSTRAINT vault_ref_is_a_path CHECK (value ~ '^vault:[a-z0-9_/-]+$');
COMMENT ON DOMAIN system_core.vault_ref IS
    'Where a secret lies in the vault; never the secret itself.';

CREATE DOMAIN system_core.cron AS text
    CONSTRAINT cron_has_five_fields CHECK (value ~ '^\S+( \S+){4}$');

CREATE DOMAIN system_core.color_hex AS text
    CONSTRAINT color_hex_rgb CHECK (value ~ '^#[0-9a-f]{6}$');

CREATE DOMAIN system_core.json_object AS jsonb
    CONSTRAINT json_object_is_object CHECK (jsonb_typeof(value) = 'object');

CREATE DOMAIN system_core.json_array AS jsonb
    CONSTRAINT json_array_is_array CHECK (jsonb_typeof(value) = 'array');

CREATE FUNCTION system_core.distance_km(
    latitude_a  double precision, longitude_a double precision,
    latitude_b  double precision, longitude_b double precision
) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN 2 * 6371.0088 * asin(sqrt(least(1,
        sind((latitude_b - latitude_a) / 2) ^ 2
        + cosd(latitude_a) * cosd(latitude_b) * sind((longitude_b - longitude_a) / 2) ^ 2)));
COMMENT ON FUNCTION system_core.distance_km(
    double precision, double precision, double precision, double precision) IS
    'Along the great circle (haversine), by the mean radius of the earth, 6,371.0088 km.';
