"""All SQL of the rates. A question is one statement that answers with one row: columns as arrays.

A test explains each statement on the full data and demands index scans of `rates`.
"""

CURRENCIES = """
SELECT array_agg(c.code ORDER BY c.code), array_agg(c.name ORDER BY c.code),
       array_agg(f.day ORDER BY c.code), array_agg(l.day ORDER BY c.code),
       array_agg(l.rate::float8 ORDER BY c.code)
FROM currencies c
CROSS JOIN LATERAL (
    SELECT day FROM rates WHERE currency = c.code ORDER BY day LIMIT 1
) f
CROSS JOIN LATERAL (
    SELECT day, rate FROM rates WHERE currency = c.code ORDER BY day DESC LIMIT 1
) l
"""

CURRENCY = """
SELECT c.name, f.day, l.day, l.rate::float8, l.rate::float8 / p.rate::float8 - 1
FROM currencies c
CROSS JOIN LATERAL (
    SELECT day FROM rates WHERE currency = c.code ORDER BY day LIMIT 1
) f
CROSS JOIN LATERAL (
    SELECT day, rate FROM rates WHERE currency = c.code ORDER BY day DESC LIMIT 1
) l
LEFT JOIN LATERAL (
    SELECT rate FROM rates WHERE currency = c.code AND day < l.day ORDER BY day DESC LIMIT 1
) p ON true
WHERE c.code = %(code)s
"""

HISTORY = """
SELECT h.days, h.rates
FROM currencies c
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(day ORDER BY day), '{}') AS days,
           coalesce(array_agg(rate::float8 ORDER BY day), '{}') AS rates
    FROM rates
    WHERE currency = c.code AND day BETWEEN %(start)s AND %(end)s
) h
WHERE c.code = %(code)s
"""

# One euro in the quote currency by one euro in the base currency.
PAIR = """
SELECT b.name, q.name, h.days, h.rates
FROM currencies b
JOIN currencies q ON q.code = %(quote)s
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(day ORDER BY day), '{}') AS days,
           coalesce(array_agg(qr.rate::float8 / br.rate::float8 ORDER BY day), '{}') AS rates
    FROM rates br JOIN rates qr USING (day)
    WHERE br.currency = b.code AND br.day BETWEEN %(start)s AND %(end)s
      AND qr.currency = q.code AND qr.day BETWEEN %(start)s AND %(end)s
) h
WHERE b.code = %(base)s
"""

PAIR_FROM_EURO = """
SELECT %(euro)s, q.name, h.days, h.rates
FROM currencies q
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(day ORDER BY day), '{}') AS days,
           coalesce(array_agg(rate::float8 ORDER BY day), '{}') AS rates
    FROM rates
    WHERE currency = q.code AND day BETWEEN %(start)s AND %(end)s
) h
WHERE q.code = %(quote)s
"""

PAIR_TO_EURO = """
SELECT b.name, %(euro)s, h.days, h.rates
FROM currencies b
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(day ORDER BY day), '{}') AS days,
           coalesce(array_agg(1 / rate::float8 ORDER BY day), '{}') AS rates
    FROM rates
    WHERE currency = b.code AND day BETWEEN %(start)s AND %(end)s
) h
WHERE b.code = %(base)s
"""

DAY = """
WITH near AS (
    SELECT (SELECT day FROM rates WHERE day < %(day)s ORDER BY day DESC LIMIT 1) AS previous,
           (SELECT day FROM rates WHERE day > %(day)s ORDER BY day LIMIT 1) AS next
)
SELECT near.previous, near.next,
       array_agg(r.currency ORDER BY r.currency), array_agg(c.name ORDER BY r.currency),
       array_agg(r.rate::float8 ORDER BY r.currency),
       array_agg(r.rate::float8 / p.rate::float8 - 1 ORDER BY r.currency)
FROM near
LEFT JOIN rates r ON r.day = %(day)s
LEFT JOIN currencies c ON c.code = r.currency
LEFT JOIN rates p ON p.currency = r.currency AND p.day = near.previous
GROUP BY near.previous, near.next
"""

LATEST_DAY = "SELECT day FROM rates ORDER BY day DESC LIMIT 1"

# From each year's first day straight to the next year's: some thirty look-ups, no scan.
YEARS = """
WITH RECURSIVE firsts AS (
    (SELECT day FROM rates ORDER BY day LIMIT 1)
    UNION ALL
    SELECT n.day
    FROM firsts
    CROSS JOIN LATERAL (
        SELECT day FROM rates
        WHERE day >= make_date(extract(year FROM firsts.day)::int + 1, 1, 1)
        ORDER BY day LIMIT 1
    ) n
)
SELECT coalesce(array_agg(extract(year FROM day)::int ORDER BY day), '{}') FROM firsts
"""

YEAR = """
WITH quotes AS MATERIALIZED (
    SELECT currency, day, rate FROM rates WHERE day >= %(start)s AND day < %(end)s
), spans AS (
    SELECT currency, min(day) AS first, max(day) AS last, min(rate)::float8 AS low,
           max(rate)::float8 AS high, avg(rate)::float8 AS mean
    FROM quotes GROUP BY currency
)
SELECT (SELECT extract(year FROM day)::int FROM rates
        WHERE day < %(start)s ORDER BY day DESC LIMIT 1),
       (SELECT extract(year FROM day)::int FROM rates WHERE day >= %(end)s ORDER BY day LIMIT 1),
       (SELECT count(DISTINCT day) FROM quotes),
       array_agg(s.currency ORDER BY s.currency), array_agg(c.name ORDER BY s.currency),
       array_agg(f.rate::float8 ORDER BY s.currency),
       array_agg(l.rate::float8 ORDER BY s.currency),
       array_agg(s.low ORDER BY s.currency), array_agg(s.high ORDER BY s.currency),
       array_agg(s.mean ORDER BY s.currency)
FROM spans s
JOIN currencies c ON c.code = s.currency
JOIN rates f ON f.currency = s.currency AND f.day = s.first
JOIN rates l ON l.currency = s.currency AND l.day = s.last
"""

KNOWN_CODES = "SELECT array_agg(code ORDER BY code) FROM currencies"

LOCK_WRITERS = "SELECT pg_advisory_xact_lock(%(lock)s)"
CODES_OF_DAY = "SELECT coalesce(array_agg(currency), '{}') FROM rates WHERE day = %(day)s"
NEIGHBOURS = """
SELECT (SELECT day FROM rates WHERE day < %(day)s ORDER BY day DESC LIMIT 1),
       (SELECT day FROM rates WHERE day > %(day)s ORDER BY day LIMIT 1)
"""
REMOVE_RATES = "DELETE FROM rates WHERE day = %(day)s AND currency = ANY(%(codes)s)"
WRITE_RATES = """
INSERT INTO rates AS r (currency, day, rate)
SELECT code, %(day)s, rate FROM unnest(%(codes)s::text[], %(rates)s::numeric[]) AS w (code, rate)
ON CONFLICT (currency, day) DO UPDATE SET rate = excluded.rate
WHERE r.rate IS DISTINCT FROM excluded.rate
"""
