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
        regexp_replace(regexp_replace(
            lower(concat(line1, '|', city, '|', region_code, '|', postal_code, '|', country_code)),
            '[^[:alnum:]|]+', ' ', 'g'), ' ?\| ?', '|', 'g'),
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


CREATE TABLE system_core.setting (
    business_id     uuid             NOT NULL,
    setting_id      uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    scope_entity_id uuid,
    changed_by      uuid,
    namespace       system_core.code NOT NULL,
    setting_key     system_core.code NOT NULL,
    scope           text             NOT NULL DEFAULT 'business',
    value_type      text             NOT NULL,
    value           jsonb,
    default_value   jsonb,
    is_secret       boolean          NOT NULL DEFAULT false,
    description     text,
    changed_at      timestamptz      NOT NULL DEFAULT now(),
    created_at      timestamptz      NOT NULL DEFAULT now(),
    updated_at      timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, setting_id),
    UNIQUE NULLS NOT DISTINCT (business_id, namespace, setting_key, scope, scope_entity_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, changed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT setting_scope_known CHECK (scope IN ('business', 'location', 'user')),
    CONSTRAINT setting_scope_names_its_entity
        CHECK ((scope = 'business') = (scope_entity_id IS NULL)),
    CONSTRAINT setting_value_type_known
        CHECK (value_type IN ('string', 'number', 'boolean', 'object', 'array')),
    CONSTRAINT setting_value_has_its_type CHECK (jsonb_typeof(value) = value_type),
    CONSTRAINT setting_default_has_its_type CHECK (jsonb_typeof(default_value) = value_type),
    CONSTRAINT setting_has_a_value CHECK (value IS NOT NULL OR default_value IS NOT NULL),
    CONSTRAINT setting_secret_lies_in_the_vault
        CHECK (NOT is_secret OR value::text ~ '^"vault:[a-z0-9_/-]+"$'),
    CONSTRAINT setting_secret_has_no_default CHECK (NOT is_secret OR default_value IS NULL)
);

COMMENT ON TABLE system_core.setting IS
    'A typed configuration value of the business, of one location or of one user.';
COMMENT ON COLUMN system_core.setting.scope_entity_id IS
    'The location or the user it is for; no foreign key, for scope decides the table.';
COMMENT ON COLUMN system_core.setting.value IS
    'NULL: the default applies. Of a secret: its path in the vault.';

-- FK: who changed it.
CREATE INDEX setting_changed_by_idx
    ON system_core.setting (business_id, changed_by)
    WHERE changed_by IS NOT NULL;

-- The settings page of a location or a user.
CREATE INDEX setting_scope_idx
    ON system_core.setting (business_id, scope_entity_id)
    WHERE scope_entity_id IS NOT NULL;

ALTER TABLE system_core.setting ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.setting
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.setting TO app_user;
GRANT SELECT ON system_core.setting TO app_readonly;

CREATE TRIGGER setting_touch
    BEFORE UPDATE ON system_core.setting
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.setting_sign_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_at := now();
    NEW.changed_by := coalesce(
        nullif(current_setting('app.user_account_id', true), '')::uuid, NEW.changed_by);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.setting_sign_change() IS
    'Writes when a value changed, and by whom where the session says it.';

CREATE TRIGGER setting_sign_change
    BEFORE UPDATE OF value ON system_core.setting
    FOR EACH ROW WHEN (NEW.value IS DISTINCT FROM OLD.value)
    EXECUTE FUNCTION system_core.setting_sign_change();

CREATE FUNCTION system_core.effective_setting(
    namespace       system_core.code,
    setting_key     system_core.code,
    location_id     uuid DEFAULT NULL,
    user_account_id uuid DEFAULT NULL
) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN (
        SELECT coalesce(s.value, s.default_value)
        FROM system_core.setting AS s
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.namespace = effective_setting.namespace
          AND s.setting_key = effective_setting.setting_key
          AND (s.scope = 'business'
               OR s.scope = 'location' AND s.scope_entity_id = effective_setting.location_id
               OR s.scope = 'user' AND s.scope_entity_id = effective_setting.user_account_id)
        ORDER BY array_position(ARRAY['user', 'location', 'business'], s.scope)
        LIMIT 1);
COMMENT ON FUNCTION system_core.effective_setting(system_core.code, system_core.code, uuid, uuid) IS
    'The value that applies to the calling tenant: the user''s before the location''s before
     the business''s.';

CREATE VIEW system_core.v_opening_hours WITH (security_invoker = true) AS
SELECT s.business_id, s.setting_id, s.scope, s.scope_entity_id,
       hours.weekday, hours.opens_at, hours.closes_at
FROM system_core.setting AS s
CROSS JOIN JSON_TABLE(
    coalesce(s.value, s.default_value), '$[*]'
    COLUMNS (weekday text PATH '$.weekday',
             opens_at time PATH '$.opens',
             closes_at time PATH '$.closes')) AS hours
WHERE s.namespace = 'business' AND s.setting_key = 'opening_hours' AND s.value_type = 'array';
COMMENT ON VIEW system_core.v_opening_hours IS
    'The setting business/opening_hours, [{weekday, opens, closes}], as one row per weekday.';
GRANT SELECT ON system_core.v_opening_hours TO app_user, app_readonly;


CREATE TABLE system_core.number_sequence (
    business_id        uuid             NOT NULL,
    number_sequence_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    sequence_code      system_core.code NOT NULL,
    location_code      system_core.code,
    prefix             text             NOT NULL DEFAULT '',
    suffix             text             NOT NULL DEFAULT '',
    next_value         bigint           NOT NULL DEFAULT 1,
    step               integer          NOT NULL DEFAULT 1,
    pad_width          integer          NOT NULL DEFAULT 6,
    reset_period       text             NOT NULL DEFAULT 'never',
    is_gapless         boolean          NOT NULL DEFAULT false,
    last_reset_on      date,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, number_sequence_id),
    UNIQUE NULLS NOT DISTINCT (business_id, sequence_code, location_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT number_sequence_counts_upward CHECK (next_value > 0 AND step > 0),
    CONSTRAINT number_sequence_pad_width_printable CHECK (pad_width BETWEEN 1 AND 18),
    CONSTRAINT number_sequence_reset_period_known
        CHECK (reset_period IN ('never', 'yearly', 'monthly', 'daily')),
    CONSTRAINT number_sequence_reset_shows_year
        CHECK (reset_period = 'never' OR prefix ~ '\{YYYY\}'),
    CONSTRAINT number_sequence_reset_shows_month
        CHECK (reset_period NOT IN ('monthly', 'daily') OR prefix ~ '\{MM\}'),
    CONSTRAINT number_sequence_reset_shows_day
        CHECK (reset_period <> 'daily' OR prefix ~ '\{DD\}'),
    CONSTRAINT number_sequence_only_periods_reset
        CHECK (reset_period <> 'never' OR last_reset_on IS NULL)
);

COMMENT ON TABLE system_core.number_sequence IS
    'Numbers of one kind of document: how they look and which one is next.';
COMMENT ON COLUMN system_core.number_sequence.prefix IS
    'May hold {YYYY}, {MM} and {DD}; must where numbers start over, or they would repeat.';
COMMENT ON COLUMN system_core.number_sequence.is_gapless IS
    'True: the number is taken under a row lock until commit, for law or auditors ask for it.';
COMMENT ON COLUMN system_core.number_sequence.last_reset_on IS
    'First day of the period that next_value belongs to.';

ALTER TABLE system_core.number_sequence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.number_sequence
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.number_sequence TO app_user;
GRANT SELECT ON system_core.number_sequence TO app_readonly;

CREATE TRIGGER number_sequence_touch
    BEFORE UPDATE ON system_core.number_sequence
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.number_sequence_only_forward() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'sequence % cannot go back from % to %: its numbers would repeat',
                        OLD.sequence_code, OLD.next_value, NEW.next_value
            USING ERRCODE = 'check_violation',
                  HINT = 'It starts over with a new period only.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.number_sequence_only_forward() IS
    'Refuses to hand out a number of the same period twice.';

CREATE TRIGGER number_sequence_only_forward
    BEFORE UPDATE OF next_value ON system_core.number_sequence
    FOR EACH ROW
    WHEN (NEW.next_value < OLD.next_value
          AND NOT coalesce(NEW.last_reset_on > OLD.last_reset_on, false))
    EXECUTE FUNCTION system_core.number_sequence_only_forward();

CREATE FUNCTION system_core.next_document_number(
    sequence_code system_core.code,
    location_code system_core.code DEFAULT NULL
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    numbers     system_core.number_sequence;
    today       date;
    period      date;
    reserve     text;     -- the session setting that holds the rest of a block
    held        text[];   -- its period, next number and last number
    size        integer;
    number      bigint;
    last_number bigint;
BEGIN
    SELECT s.* INTO numbers
    FROM system_core.number_sequence AS s
    WHERE s.business_id = tenant_mgmt.current_business_id()
      AND s.sequence_code = next_document_number.sequence_code
      AND (s.location_code = next_document_number.location_code OR s.location_code IS NULL)
    ORDER BY s.location_code NULLS LAST
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no number sequence %', sequence_code
            USING ERRCODE = 'no_data_found';
    END IF;

    SELECT (now() AT TIME ZONE b.time_zone)::date INTO today
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = numbers.business_id;
    period := CASE numbers.reset_period
                  WHEN 'yearly' THEN date_trunc('year', today)
                  WHEN 'monthly' THEN date_trunc('month', today)
                  WHEN 'daily' THEN today
              END;

    reserve := 'app.numbers_' || translate(numbers.number_sequence_id::text, '-', '_');
    IF NOT numbers.is_gapless THEN
        held := string_to_array(nullif(current_setting(reserve, true), ''), ' ');
    END IF;
    IF held[1] = coalesce(period, '-infinity')::text AND held[2]::bigint <= held[3]::bigint THEN
        number := held[2];
        last_number := held[3];
    ELSE
        size := CASE WHEN numbers.is_gapless THEN 1 ELSE 20 END;
        UPDATE system_core.number_sequence AS s
        SET next_value = size * s.step
                         + CASE WHEN s.last_reset_on < period THEN 1 ELSE s.next_value END,
            last_reset_on = period
        WHERE s.business_id = numbers.business_id
          AND s.number_sequence_id = numbers.number_sequence_id
        RETURNING s.next_value - size * s.step, s.next_value - s.step
        INTO number, last_number;
    END IF;
    IF NOT numbers.is_gapless THEN
        PERFORM set_config(
            reserve,
            concat_ws(' ', coalesce(period, '-infinity'), number + numbers.step, last_number),
            false);
    END IF;

    RETURN replace(replace(replace(numbers.prefix, '{YYYY}', to_char(today, 'YYYY')),
                           '{MM}', to_char(today, 'MM')), '{DD}', to_char(today, 'DD'))
           || lpad(number::text, greatest(numbers.pad_width, length(number::text)), '0')
           || numbers.suffix;
END
$$;
COMMENT ON FUNCTION system_core.next_document_number(system_core.code, system_core.code) IS
    'The next number of the calling tenant''s sequence, of the location''s own where it has one.
     Gapless: one number under a row lock until commit; a rollback gives it back. Otherwise the
     session takes a block of 20 and touches the row once in 20 calls; the setting that holds
     the rest rolls back together with the row, and what is unused at its end is a gap.';

CREATE FUNCTION system_core.number_document(
    tenant uuid, sequence_code system_core.code, prefix text, key uuid
) RETURNS text
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('system_core.number_sequence') THEN
        RETURN prefix || upper(right(key::text, 12));
    END IF;
    IF NOT EXISTS (SELECT FROM system_core.number_sequence AS s
                   WHERE s.business_id = tenant
                     AND s.sequence_code = number_document.sequence_code)
    THEN
        INSERT INTO system_core.number_sequence (business_id, sequence_code, prefix)
        VALUES (tenant, number_document.sequence_code, number_document.prefix)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN system_core.next_document_number(sequence_code);
END
$$;
COMMENT ON FUNCTION system_core.number_document(uuid, system_core.code, text, uuid) IS
    'The next number of the calling tenant''s sequence, which it makes where there is none. A role
     that bypasses row security imports for any tenant: a number made from the row''s key.';

CREATE FUNCTION system_core.assign_document_number() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW := jsonb_populate_record(NEW, jsonb_build_object(
        TG_ARGV[0], system_core.number_document(
            NEW.business_id, TG_ARGV[1], TG_ARGV[2], (to_jsonb(NEW) ->> TG_ARGV[3])::uuid)));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.assign_document_number() IS
    'Numbers a document that comes without a number, see number_document(); arguments: column,
     sequence, prefix, key column.';


CREATE TABLE system_core.exchange_rate (
    business_id      uuid                 NOT NULL,
    exchange_rate_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    base_currency    system_core.currency NOT NULL,
    quote_currency   system_core.currency NOT NULL,
    rate_date        date                 NOT NULL,
    source           text                 NOT NULL,
    mid_rate         system_core.rate     NOT NULL,
    buy_rate         system_core.rate,
    sell_rate        system_core.rate,
    is_locked        boolean              NOT NULL DEFAULT false,
    fetched_at       timestamptz          NOT NULL DEFAULT now(),
    created_at       timestamptz          NOT NULL DEFAULT now(),
    updated_at       timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, exchange_rate_id),
    UNIQUE (business_id, base_currency, quote_currency, rate_date, source),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT exchange_rate_source_known
        CHECK (source IN ('ecb', 'openexchange', 'bank', 'manual')),
    CONSTRAINT exchange_rate_between_two_currencies CHECK (base_currency <> quote_currency),
    CONSTRAINT exchange_rate_mid_positive CHECK (mid_rate > 0),
    CONSTRAINT exchange_rate_buy_positive CHECK (buy_rate > 0),
    CONSTRAINT exchange_rate_buys_below_mid CHECK (buy_rate <= mid_rate),
    CONSTRAINT exchange_rate_sells_above_mid CHECK (mid_rate <= sell_rate)
);

COMMENT ON TABLE system_core.exchange_rate IS
    'What one unit of the base currency was worth in the quote currency on a day.';
COMMENT ON COLUMN system_core.exchange_rate.is_locked IS
    'Books were closed with it; it is no longer changed.';

ALTER TABLE system_core.exchange_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.exchange_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.exchange_rate TO app_user;
GRANT SELECT ON system_core.exchange_rate TO app_readonly;

CREATE TRIGGER exchange_rate_touch
    BEFORE UPDATE ON system_core.exchange_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.exchange_rate_keep_locked() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'the rate % to % of % is locked: books were closed with it',
                        OLD.base_currency, OLD.quote_currency, OLD.rate_date
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION system_core.exchange_rate_keep_locked() IS
    'Refuses to change or delete a locked rate.';

CREATE TRIGGER exchange_rate_keep_locked
    BEFORE UPDATE OR DELETE ON system_core.exchange_rate
    FOR EACH ROW WHEN (OLD.is_locked)
    EXECUTE FUNCTION system_core.exchange_rate_keep_locked();

CREATE FUNCTION system_core.convert_money(
    amount        system_core.money,
    from_currency system_core.currency,
    to_currency   system_core.currency,
    on_date       date
) RETURNS system_core.money
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    quoted record;
BEGIN
    IF amount IS NULL OR from_currency = to_currency THEN
        RETURN amount;
    END IF;
    SELECT candidate.rate_date, candidate.factor INTO quoted
    FROM (
        SELECT r.rate_date, r.source, r.is_locked, r.mid_rate AS factor, 1 AS detour
        FROM system_core.exchange_rate AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.base_currency = from_currency AND r.quote_currency = to_currency
          AND r.rate_date BETWEEN on_date - 7 AND on_date
        UNION ALL
        SELECT r.rate_date, r.source, r.is_locked, 1 / r.mid_rate, 2
        FROM system_core.exchange_rate AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.base_currency = to_currency AND r.quote_currency = from_currency
          AND r.rate_date BETWEEN on_date - 7 AND on_date
    ) AS candidate
    ORDER BY candidate.rate_date DESC, candidate.detour, candidate.is_locked DESC,
             array_position(ARRAY['manual', 'bank', 'ecb', 'openexchange'], candidate.source)
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no rate from % to % in the 7 days up to %',
                        from_currency, to_currency, on_date
            USING ERRCODE = 'no_data_found',
                  HINT = 'Fetch the rates or enter one by hand.';
    END IF;
    RETURN round(amount * quoted.factor, 2);
END
$$;
COMMENT ON FUNCTION system_core.convert_money(
    system_core.money, system_core.currency, system_core.currency, date) IS
    'Converts with the calling tenant''s last rate on or before the date, quoted either way; a
     locked rate and one entered by hand go before fetched ones. Refuses a rate older than 7 days.';


CREATE TABLE system_core.holiday_calendar (
    business_id         uuid                NOT NULL,
    holiday_calendar_id uuid                NOT NULL DEFAULT system_core.uuid_v7(),
    code                system_core.code    NOT NULL,
    name                text                NOT NULL,
    country_code        system_core.country NOT NULL,
    region_code         system_core.region,
    week_starts_on      text                NOT NULL DEFAULT 'monday',
    weekend_days        text[]              NOT NULL DEFAULT '{saturday,sunday}',
    is_default          boolean             NOT NULL DEFAULT false,
    valid_from          date                NOT NULL,
    valid_until         date,
    created_at          timestamptz         NOT NULL DEFAULT now(),
    updated_at          timestamptz         NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, holiday_calendar_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT holiday_calendar_week_starts_on_known CHECK (week_starts_on IN ('sunday', 'monday')),
    CONSTRAINT holiday_calendar_weekend_days_known
        CHECK (weekend_days <@ ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday',
                                     'saturday', 'sunday']),
    CONSTRAINT holiday_calendar_leaves_working_days CHECK (cardinality(weekend_days) <= 4),
    CONSTRAINT holiday_calendar_ends_after_start CHECK (valid_until > valid_from)
);

COMMENT ON TABLE system_core.holiday_calendar IS
    'A named set of closed days: due dates, shifts and promises are counted with it.';

-- One calendar answers where none is named.
CREATE UNIQUE INDEX holiday_calendar_default_idx
    ON system_core.holiday_calendar (business_id)
    WHERE is_default;

ALTER TABLE system_core.holiday_calendar ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.holiday_calendar
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.holiday_calendar TO app_user;
GRANT SELECT ON system_core.holiday_calendar TO app_readonly;

CREATE TRIGGER holiday_calendar_touch
    BEFORE UPDATE ON system_core.holiday_calendar
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.holiday (
    business_id         uuid        NOT NULL,
    holiday_id          uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    holiday_calendar_id uuid        NOT NULL,
    holiday_date        date        NOT NULL,
    observed_date       date,
    name                text        NOT NULL,
    kind                text        NOT NULL,
    is_paid             boolean     NOT NULL DEFAULT true,
    opens_at            time,
    closes_at           time,
    recurrence_rule     text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, holiday_id),
    UNIQUE (business_id, holiday_calendar_id, holiday_date, name),
    FOREIGN KEY (business_id, holiday_calendar_id)
        REFERENCES system_core.holiday_calendar (business_id, holiday_calendar_id)
        ON DELETE CASCADE,
    CONSTRAINT holiday_kind_known
        CHECK (kind IN ('public', 'bank', 'company', 'religious', 'half_day')),
    CONSTRAINT holiday_half_day_has_opening CHECK ((kind = 'half_day') = (opens_at IS NOT NULL)),
    CONSTRAINT holiday_half_day_has_closing CHECK ((kind = 'half_day') = (closes_at IS NOT NULL)),
    CONSTRAINT holiday_closes_after_opening CHECK (closes_at > opens_at),
    CONSTRAINT holiday_observed_near_its_date
        CHECK (observed_date BETWEEN holiday_date - 3 AND holiday_date + 3),
    CONSTRAINT holiday_recurs_yearly
        CHECK (recurrence_rule ~ '^FREQ=YEARLY(;[A-Z]+=[A-Z0-9,+-]+)*$')
);

COMMENT ON TABLE system_core.holiday IS 'One closed or short day of a calendar.';
COMMENT ON COLUMN system_core.holiday.observed_date IS
    'The day off where it is not the date itself: the Monday after a Sunday.';
COMMENT ON COLUMN system_core.holiday.recurrence_rule IS
    'RFC 5545, for proposing next year''s row; only the dates of rows close the business.';

-- add_working_days(): the closed days from a date on.
CREATE INDEX holiday_day_off_idx
    ON system_core.holiday
       (business_id, holiday_calendar_id, (coalesce(observed_date, holiday_date)))
    WHERE kind <> 'half_day';

ALTER TABLE system_core.holiday ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.holiday
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.holiday TO app_user;
GRANT SELECT ON system_core.holiday TO app_readonly;

CREATE TRIGGER holiday_touch
    BEFORE UPDATE ON system_core.holiday
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.add_working_days(
    start_date    date,
    days          integer,
    calendar_code system_core.code DEFAULT NULL
) RETURNS date
    LANGUAGE sql STABLE
    RETURN (
        WITH calendar AS (
            SELECT c.business_id, c.holiday_calendar_id, c.weekend_days
            FROM system_core.holiday_calendar AS c
            WHERE c.business_id = tenant_mgmt.current_business_id()
              AND CASE WHEN calendar_code IS NULL THEN c.is_default
                       ELSE c.code = calendar_code END
        )
        SELECT day::date
        FROM calendar AS c
        CROSS JOIN generate_series((start_date + 1)::timestamp,
                                   (start_date + 3 * days + 30)::timestamp, '1 day') AS day
        WHERE (ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday',
                     'sunday'])[extract(isodow FROM day)::integer] <> ALL (c.weekend_days)
          AND NOT EXISTS (
              SELECT
              FROM system_core.holiday AS h
              WHERE h.business_id = c.business_id
                AND h.holiday_calendar_id = c.holiday_calendar_id
                AND h.kind <> 'half_day'
                AND coalesce(h.observed_date, h.holiday_date) = day::date)
        ORDER BY day
        OFFSET greatest(days, 1) - 1
        LIMIT 1);
COMMENT ON FUNCTION system_core.add_working_days(date, integer, system_core.code) IS
    'The n-th working day after a date by a calendar of the calling tenant (its default one where
     none is named); half days are worked. NULL where there is no such calendar.';


CREATE TABLE system_core.partition_policy (
    business_id            uuid        NOT NULL,
    partition_policy_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    schema_name            text        NOT NULL,
    table_name             text        NOT NULL,
    time_column            text        NOT NULL,
    interval_kind          text        NOT NULL DEFAULT 'month',
    premake_count          integer     NOT NULL DEFAULT 3,
    retain_count           integer     NOT NULL DEFAULT 13,
    detach_action          text        NOT NULL DEFAULT 'keep_detached',
    is_enabled             boolean     NOT NULL DEFAULT true,
    default_partition_rows bigint      NOT NULL DEFAULT 0,
    last_partition_upper   timestamptz,
    last_run_at            timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, partition_policy_id),
    UNIQUE (business_id, schema_name, table_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT partition_policy_interval_kind_known
        CHECK (interval_kind IN ('day', 'week', 'month', 'quarter')),
    CONSTRAINT partition_policy_detach_action_known
        CHECK (detach_action IN ('drop', 'archive', 'keep_detached')),
    CONSTRAINT partition_policy_premakes_some CHECK (premake_count BETWEEN 1 AND 24),
    CONSTRAINT partition_policy_retains_what_it_premakes CHECK (retain_count >= premake_count),
    CONSTRAINT partition_policy_leftovers_countable CHECK (default_partition_rows >= 0)
);

COMMENT ON TABLE system_core.partition_policy IS
    'How a time-partitioned table is cut, kept ahead and retired.';
COMMENT ON COLUMN system_core.partition_policy.retain_count IS
    'Whole intervals before the current one that stay attached.';
COMMENT ON COLUMN system_core.partition_policy.detach_action IS
    'What becomes of a detached partition; drop: only where it never held a row.';
COMMENT ON COLUMN system_core.partition_policy.default_partition_rows IS
    'Rows that found no partition when maintenance last looked; 0 is healthy.';

ALTER TABLE system_core.partition_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.partition_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.partition_policy TO app_user;
GRANT SELECT ON system_core.partition_policy TO app_readonly;

CREATE TRIGGER partition_policy_touch
    BEFORE UPDATE ON system_core.partition_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.partition_bounds(parent regclass)
    RETURNS TABLE (partition regclass, lower_bound timestamptz, upper_bound timestamptz)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT i.inhrelid::regclass, edge[1]::timestamptz, edge[2]::timestamptz
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    CROSS JOIN regexp_match(pg_get_expr(c.relpartbound, c.oid),
                            $$FROM \('([^']+)'\) TO \('([^']+)'\)$$) AS edge
    WHERE i.inhparent = parent AND edge IS NOT NULL;
END;
COMMENT ON FUNCTION system_core.partition_bounds(regclass) IS
    'The partitions of a table cut by time, but for its default one.';

CREATE FUNCTION system_core.retire_partitions(
    parent      regclass,
    keep_from   timestamptz,
    then_action text
) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET lock_timeout = '3s' AS $$
DECLARE
    old     record;
    retired text[] := '{}';
BEGIN
    FOR old IN
        SELECT b.partition, c.relname
        FROM system_core.partition_bounds(parent) AS b
        JOIN pg_class AS c ON c.oid = b.partition
        WHERE b.upper_bound <= keep_from
        ORDER BY b.upper_bound
    LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', parent, old.partition);
        IF then_action = 'drop' AND pg_relation_size(old.partition) = 0 THEN
            EXECUTE format('DROP TABLE %s', old.partition);
        ELSIF then_action = 'archive' THEN
            EXECUTE format('ALTER TABLE %s RENAME TO %I', old.partition,
                           old.relname || '_archived');
        END IF;
        retired := retired || old.relname::text;
    END LOOP;
    RETURN retired;
END
$$;
COMMENT ON FUNCTION system_core.retire_partitions(regclass, timestamptz, text) IS
    'Detaches the partitions that end before a time. Drops one only where its file is empty,
     which holds for all tenants; a count would see the rows of one. Waits 3 s for its lock.';
REVOKE EXECUTE ON FUNCTION system_core.retire_partitions(regclass, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION system_core.interval_length(interval_kind text) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE interval_kind
        WHEN 'day' THEN interval '1 day'
        WHEN 'week' THEN interval '7 days'
        WHEN 'month' THEN interval '1 month'
        WHEN 'quarter' THEN interval '3 months'
    END;
COMMENT ON FUNCTION system_core.interval_length(text) IS 'How long one partition of a kind is.';

CREATE FUNCTION system_core.partition_policy_objection(
    policy system_core.partition_policy,
    parent regclass
) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN NOT EXISTS (
            SELECT
            FROM pg_partitioned_table AS p
            JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
            WHERE p.partrelid = parent AND p.partstrat = 'r' AND p.partnatts = 1
              AND a.attname = policy.time_column)
        THEN format('%s.%s is no table partitioned by %s',
                    policy.schema_name, policy.table_name, policy.time_column)
        WHEN EXISTS (
            SELECT
            FROM system_core.partition_bounds(parent) AS b
            WHERE b.upper_bound > now()
              AND b.upper_bound
                  <> b.lower_bound + system_core.interval_length(policy.interval_kind))
        THEN format('is not cut by the %s', policy.interval_kind)
    END;
COMMENT ON FUNCTION system_core.partition_policy_objection(
    system_core.partition_policy, regclass) IS
    'Why a policy cannot be carried out, or NULL.';

CREATE FUNCTION system_core.maintain_partitions()
    RETURNS TABLE (
        schema_name  text,
        table_name   text,
        outcome      text,
        created      integer,
        retired      text[],
        default_rows bigint
    )
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET lock_timeout = '3s' AS $$
DECLARE
    policy     system_core.partition_policy;
    parent     regclass;
    leftover   regclass;
    may_retire boolean;
BEGIN
    SELECT b.is_platform_operator INTO STRICT may_retire
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = tenant_mgmt.current_business_id();

    FOR policy IN
        SELECT p.*
        FROM system_core.partition_policy AS p
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.is_enabled
        ORDER BY p.schema_name, p.table_name
    LOOP
        schema_name := policy.schema_name;
        table_name := policy.table_name;
        created := 0;
        retired := '{}';
        default_rows := NULL;
        parent := to_regclass(format('%I.%I', policy.schema_name, policy.table_name));
        outcome := system_core.partition_policy_objection(policy, parent);
        IF outcome IS NOT NULL THEN
            RETURN NEXT;
            CONTINUE;
        END IF;

        BEGIN
            created := system_core.create_partitions(
                parent, policy.interval_kind, 0, policy.premake_count);
            IF may_retire THEN
                retired := system_core.retire_partitions(
                    parent,
                    date_trunc(policy.interval_kind, now(), 'UTC')
                    - policy.retain_count * system_core.interval_length(policy.interval_kind),
                    policy.detach_action);
            END IF;
            outcome := 'done';
        EXCEPTION
            -- Rows of the default partition stand in the way, a reader holds the table, or the
            -- interval is not known: this table stays as it was, the others are maintained.
            WHEN check_violation OR lock_not_available OR invalid_datetime_format THEN
                outcome := sqlerrm;
                created := 0;
                retired := '{}';
        END;

        SELECT nullif(p.partdefid, 0) INTO leftover
        FROM pg_partitioned_table AS p
        WHERE p.partrelid = parent;
        default_rows := 0;
        IF leftover IS NOT NULL THEN
            EXECUTE format('SELECT count(*) FROM %s', leftover) INTO default_rows;
        END IF;
        UPDATE system_core.partition_policy AS p
        SET last_run_at = clock_timestamp(),
            default_partition_rows = maintain_partitions.default_rows,
            last_partition_upper = (SELECT max(b.upper_bound)
                                    FROM system_core.partition_bounds(parent) AS b)
        WHERE p.business_id = policy.business_id
          AND p.partition_policy_id = policy.partition_policy_id;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION system_core.maintain_partitions() IS
    'Makes the partitions ahead by the policies of the calling tenant and retires old ones; says
     per policy what it did and how many rows lie in the default partition (of the calling tenant
     under row security, of all tenants for a role that bypasses it). Loses no row: a partition
     is detached, and dropped only where it is empty.
     Partitions hold the rows of all tenants, so only the owner of the tables may run it, and
     only the policies of the platform operator retire any.';
REVOKE EXECUTE ON FUNCTION system_core.maintain_partitions() FROM PUBLIC;


CREATE TABLE system_core.materialized_view_policy (
    business_id                 uuid                     NOT NULL,
    materialized_view_policy_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    schema_name                 text                     NOT NULL,
    view_name                   text                     NOT NULL,
    refresh_mode                text                     NOT NULL DEFAULT 'concurrently',
    max_staleness_minutes       integer                  NOT NULL DEFAULT 60,
    schedule_cron               system_core.cron,
    depends_on                  text[]                   NOT NULL DEFAULT '{}',
    is_enabled                  boolean                  NOT NULL DEFAULT true,
    last_refreshed_at           timestamptz,
    last_duration_ms            system_core.milliseconds,
    last_row_count              bigint,
    created_at                  timestamptz              NOT NULL DEFAULT now(),
    updated_at                  timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, materialized_view_policy_id),
    UNIQUE (business_id, schema_name, view_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT materialized_view_policy_refresh_mode_known
        CHECK (refresh_mode IN ('concurrently', 'full', 'on_event')),
    CONSTRAINT materialized_view_policy_staleness_bounded
        CHECK (max_staleness_minutes BETWEEN 1 AND 10080),
    CONSTRAINT materialized_view_policy_rows_not_negative CHECK (last_row_count >= 0),
    CONSTRAINT materialized_view_policy_refresh_was_measured
        CHECK ((last_refreshed_at IS NULL) = (last_duration_ms IS NULL)),
    CONSTRAINT materialized_view_policy_not_its_own_source
        CHECK (schema_name || '.' || view_name <> ALL (depends_on))
);

COMMENT ON TABLE system_core.materialized_view_policy IS
    'When a materialized view is refreshed and how stale it may be.';
COMMENT ON COLUMN system_core.materialized_view_policy.depends_on IS
    'Materialized views it reads, as schema.view: they are refreshed before it.';
COMMENT ON COLUMN system_core.materialized_view_policy.refresh_mode IS
    'on_event: by whoever loads its data; refreshing it when too stale is the safety net.';

ALTER TABLE system_core.materialized_view_policy
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.materialized_view_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.materialized_view_policy TO app_user;
GRANT SELECT ON system_core.materialized_view_policy TO app_readonly;

CREATE TRIGGER materialized_view_policy_touch
    BEFORE UPDATE ON system_core.materialized_view_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.is_refreshable_concurrently(view regclass) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (
        SELECT
        FROM pg_class AS c
        JOIN pg_index AS i ON i.indrelid = c.oid
        WHERE c.oid = view AND c.relispopulated
          AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indpred IS NULL AND i.indexprs IS NULL);
COMMENT ON FUNCTION system_core.is_refreshable_concurrently(regclass) IS
    'Whether it is filled and has a unique index over whole columns and all rows.';

CREATE FUNCTION system_core.refresh_stale_views()
    RETURNS TABLE (
        schema_name text,
        view_name   text,
        outcome     text,
        duration_ms system_core.milliseconds,
        row_count   bigint
    )
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '3s' AS $$
DECLARE
    policy     system_core.materialized_view_policy;
    view       regclass;
    populated  boolean;
    started_at timestamptz;
BEGIN
    FOR policy IN
        WITH RECURSIVE own AS (
            SELECT p.*
            FROM system_core.materialized_view_policy AS p
            WHERE p.business_id = tenant_mgmt.current_business_id() AND p.is_enabled
        ), placed (schema_name, view_name, depth) AS (
            SELECT o.schema_name, o.view_name, 0 FROM own AS o
            UNION
            SELECT o.schema_name, o.view_name, s.depth + 1
            FROM placed AS s
            JOIN own AS o ON s.schema_name || '.' || s.view_name = ANY (o.depends_on)
            WHERE s.depth < 16
        )
        SELECT o.*
        FROM own AS o
        JOIN (SELECT p.schema_name, p.view_name, max(p.depth) AS depth
              FROM placed AS p
              GROUP BY p.schema_name, p.view_name) AS place
          ON (place.schema_name, place.view_name) = (o.schema_name, o.view_name)
        WHERE coalesce(o.last_refreshed_at, '-infinity')
              < now() - make_interval(mins => o.max_staleness_minutes)
        ORDER BY place.depth, o.schema_name, o.view_name
    LOOP
        schema_name := policy.schema_name;
        view_name := policy.view_name;
        duration_ms := NULL;
        row_count := NULL;
        SELECT c.oid, c.relispopulated INTO view, populated
        FROM pg_class AS c
        WHERE c.oid = to_regclass(format('%I.%I', policy.schema_name, policy.view_name))
          AND c.relkind = 'm';
        IF NOT FOUND THEN
            outcome := 'no such materialized view';
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF policy.refresh_mode = 'concurrently' AND populated
           AND NOT system_core.is_refreshable_concurrently(view) THEN
            outcome := 'needs a unique index to be refreshed concurrently';
            RETURN NEXT;
            CONTINUE;
        END IF;

        started_at := clock_timestamp();
        BEGIN
            EXECUTE format(
                'REFRESH MATERIALIZED VIEW %s %s',
                CASE WHEN policy.refresh_mode <> 'full'
                          AND system_core.is_refreshable_concurrently(view)
                     THEN 'CONCURRENTLY' END,
                view);
            duration_ms := extract(epoch FROM clock_timestamp() - started_at) * 1000;
            EXECUTE format('SELECT count(*) FROM %s', view) INTO row_count;
            outcome := 'refreshed';
        EXCEPTION
            WHEN others THEN  -- one broken view must not keep the others stale
                outcome := sqlerrm;
                duration_ms := NULL;
        END;
        IF outcome = 'refreshed' THEN
            UPDATE system_core.materialized_view_policy AS p
            SET last_refreshed_at = started_at,
                last_duration_ms = refresh_stale_views.duration_ms,
                last_row_count = refresh_stale_views.row_count
            WHERE p.business_id = policy.business_id
              AND p.materialized_view_policy_id = policy.materialized_view_policy_id;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION system_core.refresh_stale_views() IS
    'Refreshes what the policies of the calling tenant call too stale, sources before the views
     that read them; says per view what became of it. A refresh serves all tenants, so only the
     owner of materialized views (and a superuser) may run it.';
REVOKE EXECUTE ON FUNCTION system_core.refresh_stale_views() FROM PUBLIC;
GRANT USAGE ON SCHEMA system_core, tenant_mgmt TO matview_owner;
GRANT SELECT, UPDATE (last_refreshed_at, last_duration_ms, last_row_count)
    ON system_core.materialized_view_policy TO matview_owner;
GRANT EXECUTE ON FUNCTION system_core.refresh_stale_views() TO matview_owner;


CREATE FUNCTION system_core.index_usage_advice(schema_name text)
    RETURNS TABLE (
        advice      text,
        table_name  text,
        object_name text,
        reason      text,
        size_bytes  bigint
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- An index of a partitioned table counts the scans and bytes of its partitions' indexes.
    WITH RECURSIVE index_key AS (
        SELECT i.indexrelid, i.indrelid, t.relname AS table_name, x.relname AS index_name,
               i.indisunique, i.indisprimary, i.indnkeyatts, x.relam,
               (string_to_array(i.indkey::text, ' ')::smallint[])[1:i.indnkeyatts] AS columns,
               (string_to_array(i.indclass::text, ' ')::oid[])[1:i.indnkeyatts] AS classes,
               i.indexprs IS NULL AS is_plain,
               coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate
        FROM pg_index AS i
        JOIN pg_class AS x ON x.oid = i.indexrelid
        JOIN pg_class AS t ON t.oid = i.indrelid
        JOIN pg_namespace AS n ON n.oid = t.relnamespace
        WHERE n.nspname = index_usage_advice.schema_name
          AND t.relkind IN ('r', 'p') AND NOT t.relispartition
    ), part AS (
        SELECT k.indexrelid, k.indexrelid AS leaf FROM index_key AS k
        UNION ALL
        SELECT p.indexrelid, h.inhrelid FROM part AS p JOIN pg_inherits AS h ON h.inhparent = p.leaf
    ), usage AS (
        SELECT p.indexrelid, coalesce(sum(s.idx_scan), 0) AS scans,
               sum(pg_relation_size(p.leaf))::bigint AS bytes
        FROM part AS p LEFT JOIN pg_stat_all_indexes AS s ON s.indexrelid = p.leaf
        GROUP BY p.indexrelid
    )
    SELECT 'unused', k.table_name::text, k.index_name::text,
           'no scan since the statistics were reset', u.bytes
    FROM index_key AS k JOIN usage AS u USING (indexrelid)
    WHERE u.scans = 0 AND NOT k.indisunique
    UNION ALL
    SELECT 'duplicate', k.table_name, k.index_name, format('%s starts with its columns',
                                                           other.index_name), u.bytes
    FROM index_key AS k
    JOIN usage AS u USING (indexrelid)
    CROSS JOIN LATERAL (
        SELECT o.index_name
        FROM index_key AS o
        WHERE o.indrelid = k.indrelid AND o.indexrelid <> k.indexrelid AND o.relam = k.relam
          AND o.is_plain AND o.predicate = k.predicate
          AND o.columns[1:k.indnkeyatts] = k.columns AND o.classes[1:k.indnkeyatts] = k.classes
          AND (o.indnkeyatts > k.indnkeyatts OR o.indisunique OR o.indexrelid < k.indexrelid)
        ORDER BY o.indnkeyatts, o.index_name
        LIMIT 1
    ) AS other
    WHERE k.is_plain AND NOT k.indisunique
    UNION ALL
    SELECT 'missing', t.relname, f.conname, format('no index leads with (%s) of the foreign key',
           (SELECT string_agg(a.attname, ', ' ORDER BY c.ordinal)
            FROM unnest(f.conkey) WITH ORDINALITY AS c (attnum, ordinal)
            JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = c.attnum)),
           pg_total_relation_size(t.oid)
    FROM pg_constraint AS f
    JOIN pg_class AS t ON t.oid = f.conrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE f.contype = 'f' AND n.nspname = index_usage_advice.schema_name
      AND NOT t.relispartition
      AND NOT EXISTS (
          SELECT
          FROM index_key AS k
          JOIN pg_attribute AS optional
            ON optional.attrelid = f.conrelid
           AND optional.attnum = f.conkey[cardinality(f.conkey)]
          WHERE k.indrelid = f.conrelid
            AND k.columns[1:cardinality(f.conkey)] @> f.conkey
            AND k.predicate IN ('', format('(%I IS NOT NULL)', optional.attname)))
    ORDER BY 1, 5 DESC, 2, 3;
END;
COMMENT ON FUNCTION system_core.index_usage_advice(text) IS
    'Indexes of a schema that nothing scanned, that another index covers, and foreign keys that
     none serves. Reads the catalog and the statistics of all tenants'' work, no row of a table.';
