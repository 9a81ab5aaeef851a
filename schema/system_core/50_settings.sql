/*
 * Settings: what the rest of the platform looks up.
 *
 * postal_address holds every address of every vertical once, checked and geocoded. setting is
 * the tenant's configuration, from the business down to one user. number_sequence hands out
 * document numbers, exchange_rate converts money, holiday_calendar with its holidays says
 * when the business is closed. partition_policy and materialized_view_policy say how the big
 * tables stay fast; maintain_partitions() and refresh_stale_views() carry them out.
 */

CREATE FUNCTION system_core.address_hash(
    line1        text,
    city         text,
    region_code  text,
    postal_code  text,
    country_code text
) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN sha256(convert_to(
        regexp_replace(
            lower(concat_ws('|', line1, city, region_code, postal_code, country_code)),
            '[^[:alnum:]|]+', ' ', 'g'),
        'UTF8'));
END
$$;
COMMENT ON FUNCTION system_core.address_hash(text, text, text, text, text) IS
    'The same for spellings of one address that differ in case, spaces and punctuation.
     plpgsql, for convert_to() is only STABLE although into UTF8 it never changes.';


CREATE TABLE system_core.postal_address (
    business_id       uuid                    NOT NULL,
    postal_address_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    line1             text                    NOT NULL,
    line2             text,
    city              text                    NOT NULL,
    region_code       system_core.region,
    postal_code       system_core.postal_code,
    country_code      system_core.country     NOT NULL,
    county            text,
    latitude          system_core.latitude,
    longitude         system_core.longitude,
    geocode_quality   text,
    time_zone         system_core.time_zone,
    normalized_hash   system_core.sha256      NOT NULL GENERATED ALWAYS AS
        (system_core.address_hash(line1, city, region_code, postal_code, country_code)) STORED,
    verified_at       timestamptz,
    created_at        timestamptz             NOT NULL DEFAULT now(),
    updated_at        timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, postal_address_id),
    UNIQUE NULLS NOT DISTINCT (business_id, normalized_hash, line2),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT postal_address_geocode_quality_known
        CHECK (geocode_quality IN ('rooftop', 'interpolated', 'postal', 'failed')),
    CONSTRAINT postal_address_has_both_coordinates
        CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CONSTRAINT postal_address_coordinates_have_quality
        CHECK ((latitude IS NOT NULL) = (coalesce(geocode_quality, 'failed') <> 'failed')),
    CONSTRAINT postal_address_names_a_place CHECK (line1 ~ '\S' AND city ~ '\S')
);

COMMENT ON TABLE system_core.postal_address IS
    'An address of whatever stands or lives there; checked, geocoded and stored once.';
COMMENT ON COLUMN system_core.postal_address.line2 IS
    'Apartment, suite or floor: the part that distinguishes addresses of one building.';
COMMENT ON COLUMN system_core.postal_address.geocode_quality IS
    'How exact the coordinates are; NULL: not geocoded yet.';
COMMENT ON COLUMN system_core.postal_address.normalized_hash IS
    'Finds the address again however it was typed.';

-- Territories and route planning: the addresses of a postal code.
CREATE INDEX postal_address_place_idx
    ON system_core.postal_address (business_id, country_code, postal_code);

-- The geocoder's work list.
CREATE INDEX postal_address_ungeocoded_idx
    ON system_core.postal_address (business_id, created_at)
    WHERE geocode_quality IS NULL;

ALTER TABLE system_core.postal_address ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.postal_address
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.postal_address TO app_user;
GRANT SELECT ON system_core.postal_address TO app_readonly;

CREATE TRIGGER postal_address_touch
    BEFORE UPDATE ON system_core.postal_address
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.postal_address_forget_check() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.latitude := NULL;
    NEW.longitude := NULL;
    NEW.geocode_quality := NULL;
    NEW.verified_at := NULL;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.postal_address_forget_check() IS
    'An address that was rewritten is no longer where it was found, nor verified.';

CREATE TRIGGER postal_address_forget_check
    BEFORE UPDATE OF line1, city, region_code, postal_code, country_code
    ON system_core.postal_address
    FOR EACH ROW
    WHEN ((NEW.line1, NEW.city, NEW.region_code, NEW.postal_code, NEW.country_code)
              IS DISTINCT FROM
          (OLD.line1, OLD.city, OLD.region_code, OLD.postal_code, OLD.country_code)
          AND NEW.verified_at IS NOT DISTINCT FROM OLD.verified_at
          AND NEW.latitude IS NOT DISTINCT FROM OLD.latitude)
    EXECUTE FUNCTION system_core.postal_address_forget_check();
