/*
 * Words to search by: each word that stands in a name or a text, once for every record that has it.
 *
 * Under row security no index finds rows by full text (@@) or trigrams (%, ILIKE), for these
 * operators are not leakproof and wait until the policy has let a row pass: such a search reads all
 * rows of its tenant. Equality, order and prefixes (^@) of text are leakproof. So search_word holds
 * the words, an index on them finds records, and what is found is ranked. The trigger
 * system_core.keep_search_words() stands on each table that is searched.
 */

CREATE FUNCTION system_core.words_of(words text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    -- Letters and digits alone: full text takes 12/2 for a path, and what begins with 2 misses it.
    RETURN ARRAY(
        SELECT DISTINCT piece[1]
        FROM regexp_matches(lower(words), '[[:alnum:]]+', 'g') AS piece
        ORDER BY piece[1]);
END
$$;
COMMENT ON FUNCTION system_core.words_of(text) IS
    'The words of a text in lower case, each once: of what is searched and of what is asked alike.';


CREATE TABLE system_core.search_word (
    business_id uuid NOT NULL,
    found_in    text NOT NULL,
    word        text COLLATE "C" NOT NULL,
    entity_id   uuid NOT NULL,
    PRIMARY KEY (business_id, found_in, word, entity_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT search_word_is_one CHECK (word <> '')
);

COMMENT ON TABLE system_core.search_word IS
    'A word of a record that can be searched, in lower case; kept by the trigger on its table.';
COMMENT ON COLUMN system_core.search_word.found_in IS
    'The table of the record, such as ret.product.';
COMMENT ON COLUMN system_core.search_word.entity_id IS
    'Row of found_in; without a foreign key, for it is one of several tables.';

-- A record changes: its words of before.
CREATE INDEX search_word_entity_idx
    ON system_core.search_word (business_id, found_in, entity_id);

ALTER TABLE system_core.search_word ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.search_word
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.search_word TO app_user;
GRANT SELECT ON system_core.search_word TO app_readonly;


CREATE FUNCTION system_core.keep_search_words() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    changed CONSTANT jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
    tenant  CONSTANT uuid  := changed ->> 'business_id';
    entity  CONSTANT uuid  := changed ->> TG_ARGV[1];
    words   text[] := '{}';
BEGIN
    IF TG_OP <> 'DELETE' THEN
        words := system_core.words_of((
            SELECT string_agg(changed ->> a.column_name, ' ')
            FROM unnest(TG_ARGV[2:]) AS a (column_name)));
    END IF;
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM system_core.search_word AS w
        WHERE w.business_id = tenant AND w.found_in = TG_ARGV[0] AND w.entity_id = entity
          AND w.word <> ALL (words);
    END IF;
    INSERT INTO system_core.search_word (business_id, found_in, word, entity_id)
    SELECT tenant, TG_ARGV[0], w.word, entity
    FROM unnest(words) AS w (word)
    ORDER BY w.word
    ON CONFLICT (business_id, found_in, word, entity_id) DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.keep_search_words() IS
    'Trigger (table, key column, columns of text, …): the words of a row as they are now. It keeps
     them for the loader''s rows too, as nothing else does.';
