-- Reference rates: units of a currency per one euro, one row per currency and business day.
-- The euro itself has no rows: it is the base, its rate is 1.

CREATE TABLE currencies (
    code text PRIMARY KEY CHECK (code ~ '^[A-Z]{3}$' AND code <> 'EUR'),
    name text NOT NULL CHECK (name <> '')
);

-- Answers history, pair and currency questions from the index alone (INCLUDE).
CREATE TABLE rates (
    currency text NOT NULL,
    day date NOT NULL CHECK (day >= DATE '1999-01-04'),
    rate numeric NOT NULL CHECK (rate > 0 AND rate < 1e12),
    CONSTRAINT rates_pkey PRIMARY KEY (currency, day) INCLUDE (rate)
);

-- Answers day and year questions, and finds a day's neighbours, likewise.
CREATE INDEX rates_day ON rates (day, currency) INCLUDE (rate);

-- A foreign key from rates to currencies, checked once a statement: checked once a row, it would
-- take half of the time of loading the whole history. Currencies are never deleted or renamed.
CREATE FUNCTION rates_currencies_exist() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unknown text;
BEGIN
    SELECT string_agg(DISTINCT w.currency, ', ') INTO unknown
    FROM written w WHERE NOT EXISTS (SELECT FROM currencies c WHERE c.code = w.currency);
    IF unknown IS NOT NULL THEN
        RAISE foreign_key_violation USING MESSAGE = 'rates name unknown currencies: ' || unknown;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER rates_currencies_inserted AFTER INSERT ON rates REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION rates_currencies_exist();

CREATE TRIGGER rates_currencies_updated AFTER UPDATE ON rates REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION rates_currencies_exist();
