-- Text is Unicode, whatever locale the database was made with: the collation is named where case, signs or order matter.

-- Text as searches compare it: compatible forms made one (NFKC), case folded, joiners and marks of direction taken out,
-- every other sign a space. Scripts without spaces between words (Han, kana, hangul, Thai, Lao, Myanmar, Khmer, Tibetan)
-- become overlapping pairs of letters, 有机绿茶 → 有机 机绿 绿茶, so that a phrase of pairs is found wherever it stands.
CREATE FUNCTION search_text(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN folded ~ unspaced THEN (
        SELECT string_agg(CASE
            WHEN NOT paired THEN letter
            WHEN next_paired THEN ' ' || letter || next_letter || ' '
            WHEN last_paired THEN ' '
            ELSE ' ' || letter || ' '
        END, '' ORDER BY place)
        FROM (
            SELECT letter, place, paired, lead(letter) OVER places AS next_letter,
                lead(paired, 1, false) OVER places AS next_paired, lag(paired, 1, false) OVER places AS last_paired
            FROM (SELECT letter, place, letter ~ unspaced AS paired
                  FROM string_to_table(folded, NULL) WITH ORDINALITY AS t(letter, place)) AS letters
            WINDOW places AS (ORDER BY place)
        ) AS neighbours
    ) ELSE folded END
    FROM (
        SELECT regexp_replace(
                regexp_replace(
                    replace(lower(upper(normalize(given, NFKC) COLLATE "pg_c_utf8")), 'ß', 'ss'),
                    '[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]', '', 'g'
                ),
                '[[:punct:][:space:][:cntrl:]]+', ' ', 'g'
            ) AS folded,
            '[\u0e01-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1100-\u11ff\u1780-\u17dd\u3005-\u3007\u3041-\u3096\u309d-\u309f'
            || '\u30a1-\u30fa\u30fc-\u30ff\u3105-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c'
            || '\uaa60-\uaa7f\uac00-\ud7fb\uf900-\ufaff\U00020000-\U0003ffff]' AS unspaced
    ) AS made
$$;

-- The letters of such scripts one by one (and a few signs between them), for a search for a single one: 茶.
CREATE FUNCTION search_letters(given text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT letter COLLATE "C"), '{}') FROM string_to_table(normalize(given, NFKC), NULL) AS letter
    WHERE letter ~ '[\u0e01-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1780-\u17dd\u3005-\ud7fb\uf900-\ufaff\U00020000-\U0003ffff]'
$$;

-- As 'english', but "The Who" has two words: no dictionary takes stop words out. Searches ask both.
CREATE TEXT SEARCH DICTIONARY all_words (TEMPLATE = pg_catalog.snowball, LANGUAGE = english);
CREATE TEXT SEARCH CONFIGURATION all_words (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION all_words ALTER MAPPING REPLACE english_stem WITH all_words;

ALTER TABLE product_search DROP COLUMN words;
ALTER TABLE product_search ADD COLUMN words tsvector NOT NULL GENERATED ALWAYS AS (
    setweight(to_tsvector('all_words', search_text(name)), 'A') || setweight(to_tsvector('all_words', search_text(sku)), 'A')
    || setweight(to_tsvector('all_words', search_text(category)), 'B')
    || setweight(to_tsvector('all_words', search_text(description)), 'C')
    || array_to_tsvector(search_letters(name || category || description))
) STORED;
CREATE INDEX product_search_words ON product_search USING gin (words) WHERE NOT deleted;

-- Names sort by the code points of their lower case.
DROP INDEX products_by_name;
CREATE INDEX products_by_name ON products (lower(name COLLATE "pg_c_utf8"), product_id) WHERE deleted_at IS NULL;
