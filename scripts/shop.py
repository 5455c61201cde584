#!/usr/bin/env python3
"""A small shop: its point-of-sale database, and a seller who never stops selling.

    shop.py make DB --bytes 100M        a database of about that size, as if it had run for years
    shop.py sell DB --count 60          so many sales, each a transaction of its own
    shop.py sell DB --forever           sales until SIGTERM
    shop.py count DB                    how many sales it holds; safe beside a seller
    shop.py verify DB [--live DB]       proves that a (restored) database is a sound shop

Everything is seeded: the same arguments make the same rows. Python's standard library is enough.
"""

import argparse
import hashlib
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

SCHEMA = """
CREATE TABLE products (
    id INTEGER PRIMARY KEY, sku TEXT NOT NULL, name TEXT NOT NULL, price INTEGER NOT NULL,
    description TEXT NOT NULL);
CREATE TABLE stock (
    product_id INTEGER PRIMARY KEY REFERENCES products, on_hand INTEGER NOT NULL,
    sold INTEGER NOT NULL, moved_at TEXT NOT NULL);
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, phone TEXT NOT NULL,
    address TEXT NOT NULL, visits INTEGER NOT NULL, last_visit TEXT NOT NULL);
CREATE TABLE invoices (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers,
    issued_at TEXT NOT NULL, total INTEGER NOT NULL, fiscal_signature TEXT NOT NULL);
CREATE TABLE lines (
    id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL REFERENCES invoices,
    product_id INTEGER NOT NULL REFERENCES products, quantity INTEGER NOT NULL,
    price INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE payments (
    id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL REFERENCES invoices, method TEXT NOT NULL,
    amount INTEGER NOT NULL, reference TEXT NOT NULL, paid_at TEXT NOT NULL);
"""

INDEXES = """
CREATE INDEX invoices_of_customer ON invoices (customer_id);
CREATE INDEX lines_of_invoice     ON lines (invoice_id);
CREATE INDEX lines_of_product     ON lines (product_id);
CREATE INDEX payments_of_invoice  ON payments (invoice_id);
"""

# What was bought equals what is on the shelf and what was sold, for each product.
DELIVERED = 100_000
# Measured: what one invoice takes with its lines, its payment and their index entries.
INVOICE_BYTES = 345
# An index made over a finished table is packed full, and each further sale would split its pages.
# A shop that has grown for years has room in them: the last invoices find the indexes in place.
SHARE_BEFORE_INDEXES = 0.8

COLOURS = "white cream sand amber coral brick wine plum navy steel mint moss olive slate ash black"
THINGS = (
    "paint primer varnish brush roller tray ladder tape filler paper glue hinge screw lamp tile"
)
STREETS = "Mayor Real Nueva Ancha Molino Fuente Sol Luna Norte Sur Iglesia Mercado Puerto Olmo"
FIRST_NAMES = "Ana Luis Marta Jorge Elena Pablo Lucia Diego Carmen Raul Ines Hugo Sara Ivan Nora"
LAST_NAMES = "Garcia Lopez Perez Gomez Ruiz Diaz Moreno Alonso Romero Torres Vega Ramos Gil Castro"
COLOURS, THINGS, STREETS = COLOURS.split(), THINGS.split(), STREETS.split()
FIRST_NAMES, LAST_NAMES = FIRST_NAMES.split(), LAST_NAMES.split()
METHODS = ("card", "card", "card", "cash", "transfer")


# The years before today


def make(path, bytes_wanted, seed=1):
    """Creates the database, in WAL mode, with SQLite's default page size of 4 KiB."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -300000")
    database.executescript(SCHEMA)

    books = Books(database, random.Random(f"shop {seed}"))
    books.list_products(max(200, min(20_000, bytes_wanted // 50_000)))
    books.list_customers(max(500, bytes_wanted // 5_000))
    books.enter_sales(int(bytes_wanted / INVOICE_BYTES * SHARE_BEFORE_INDEXES))
    database.executescript(INDEXES)
    while (missing := bytes_wanted - books.bytes()) > 0:
        books.enter_sales(missing // INVOICE_BYTES + 1)
    books.close()
    database.execute("ANALYZE")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()


class Books:
    """Enters products, customers and years of sales in bulk."""

    def __init__(self, database, rng):
        self.database, self.rng = database, rng
        self.prices, self.customers = [], 0
        self.invoices = self.lines = 0

    def bytes(self):
        pages = self.database.execute("PRAGMA page_count").fetchone()[0]
        return pages * self.database.execute("PRAGMA page_size").fetchone()[0]

    def list_products(self, count):
        rng, pick = self.rng, self.rng.choice
        self.prices = [rng.randrange(95, 9_995) for _ in range(count)]
        rows = []
        for number, price in enumerate(self.prices, 1):
            sku = f"SKU-{number:06}-{rng.getrandbits(32):08x}"
            name = f"{pick(COLOURS)} {pick(THINGS)} {rng.randrange(1, 40)}"
            description = " ".join(pick(COLOURS + THINGS) for _ in range(12))
            rows.append((number, sku, name, price, description))
        self.insert("products", rows)

    def list_customers(self, count):
        rng, pick = self.rng, self.rng.choice
        self.customers = count
        rows = []
        for number in range(1, count + 1):
            name = f"{pick(FIRST_NAMES)} {pick(LAST_NAMES)} {pick(LAST_NAMES)}"
            email = f"{rng.getrandbits(40):010x}@example.com"
            phone = f"+34 6{rng.randrange(10**8):08}"
            address = f"Calle {pick(STREETS)} {rng.randrange(200)}, {rng.randrange(52_999):05}"
            rows.append((number, name, email, phone, address, 0, ""))
        self.insert("customers", rows)

    def enter_sales(self, count):
        """Appends `count` invoices with their lines and payments."""
        for first in range(self.invoices + 1, self.invoices + count + 1, 10_000):
            last = min(first + 10_000, self.invoices + count + 1)
            self.enter_batch(range(first, last))
        self.invoices += count

    def enter_batch(self, numbers):
        invoices, lines, payments = [], [], []
        for number in numbers:
            sale = Sale(self.rng, number, len(self.prices), self.customers)
            total = 0
            for product, quantity in sale.items:
                self.lines += 1
                price = self.prices[product - 1]
                total += quantity * price
                lines.append((self.lines, number, product, quantity, price, sale.line_text()))
            invoices.append((number, sale.customer, sale.moment, total, sale.signature))
            payments.append((number, number, sale.method, total, sale.reference, sale.moment))
        self.insert("invoices", invoices)
        self.insert("lines", lines)
        self.insert("payments", payments)

    def insert(self, table, rows):
        places = ", ".join("?" * len(rows[0]))
        self.database.execute("BEGIN")
        self.database.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
        self.database.execute("COMMIT")

    def close(self):
        """Settles what the sales left open: the shelves, and how often each customer came."""
        self.database.executescript(f"""
            BEGIN;
            INSERT INTO stock
                SELECT p.id, {DELIVERED} - coalesce(sum(l.quantity), 0),
                       coalesce(sum(l.quantity), 0), '2026-01-01 09:00:00'
                FROM products p LEFT JOIN lines l ON l.product_id = p.id GROUP BY p.id;
            UPDATE customers SET (visits, last_visit) =
                (SELECT count(*), coalesce(max(i.issued_at), '') FROM invoices i
                 WHERE i.customer_id = customers.id);
            COMMIT;
        """)


class Sale:
    """What happens at the till: who comes, what they take, how they pay."""

    __slots__ = ("customer", "items", "method", "moment", "reference", "rng", "signature")

    def __init__(self, rng, number, products, customers):
        self.rng = rng
        luck = rng.random
        self.customer = int(luck() * customers) + 1
        self.moment = moment_of(number)
        # Squaring favours low numbers: some products sell better than others.
        self.items = [
            (int(luck() ** 2 * products) + 1, 1 + int(luck() * 3))
            for _ in range(1 + int(luck() * 3))
        ]
        self.signature = f"{rng.getrandbits(256):064x}"
        self.method = METHODS[int(luck() * len(METHODS))]
        self.reference = f"{self.method}-{rng.getrandbits(48):012x}"

    def line_text(self):
        luck = self.rng.random
        colour, thing = COLOURS[int(luck() * len(COLOURS))], THINGS[int(luck() * len(THINGS))]
        return f"{colour} {thing} {int(luck() * 40)}"


def moment_of(number):
    """A sale each 20 seconds since 2018, in months of 30 days: strftime would cost too much."""
    days, second = divmod(number * 20, 86_400)
    date = f"{2018 + days // 360}-{days // 30 % 12 + 1:02}-{days % 30 + 1:02}"
    return f"{date} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


# The till


def sell(path, count=None, per_second=None, seed=1):
    """Commits `count` sales, or for None goes on until SIGTERM. Returns the seconds of each."""
    stopped, seconds = [], []
    if count is None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.append(True))
    database = sqlite3.connect(path, isolation_level=None, timeout=30)
    database.execute("PRAGMA synchronous = NORMAL")
    products = database.execute("SELECT max(id) FROM products").fetchone()[0]
    customers = database.execute("SELECT max(id) FROM customers").fetchone()[0]
    while not stopped and len(seconds) != count:
        start = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        number = database.execute("SELECT max(id) FROM invoices").fetchone()[0] + 1
        rng = random.Random(f"sale {seed} {number}")
        commit_sale(database, number, Sale(rng, number, products, customers))
        seconds.append(time.perf_counter() - start)
        if per_second:
            time.sleep(1 / per_second)
    database.close()
    return seconds


def commit_sale(database, number, sale):
    """Invoice, lines, payment, stock and customer change together or not at all."""
    total = 0
    for product, quantity in sale.items:
        (price,) = database.execute("SELECT price FROM products WHERE id = ?", [product]).fetchone()
        total += quantity * price
        database.execute(
            "INSERT INTO lines VALUES (NULL, ?, ?, ?, ?, ?)",
            (number, product, quantity, price, sale.line_text()),
        )
        database.execute(
            "UPDATE stock SET on_hand = on_hand - ?1, sold = sold + ?1, moved_at = ?2"
            " WHERE product_id = ?3",
            (quantity, sale.moment, product),
        )
    database.execute(
        "INSERT INTO invoices VALUES (?, ?, ?, ?, ?)",
        (number, sale.customer, sale.moment, total, sale.signature),
    )
    database.execute(
        "INSERT INTO payments VALUES (NULL, ?, ?, ?, ?, ?)",
        (number, sale.method, total, sale.reference, sale.moment),
    )
    database.execute(
        "UPDATE customers SET visits = visits + 1, last_visit = ? WHERE id = ?",
        (sale.moment, sale.customer),
    )
    database.execute("COMMIT")


def count_sales(path):
    database = sqlite3.connect(path, timeout=30)
    (count,) = database.execute("SELECT max(id) FROM invoices").fetchone()
    database.close()
    return count


# The proof

CLAIMS = {
    "the payments add up to the invoices": """
        SELECT (SELECT sum(amount) FROM payments) = (SELECT sum(total) FROM invoices)""",
    "the lines add up to the invoices": """
        SELECT (SELECT sum(quantity * price) FROM lines) = (SELECT sum(total) FROM invoices)""",
    "each invoice is paid once": """
        SELECT count(*) = count(DISTINCT invoice_id) AND count(*) = (SELECT count(*) FROM invoices)
        FROM payments""",
    "no invoice number is missing": """
        SELECT count(*) = max(id) FROM invoices""",
    "what left the shelves was sold": f"""
        SELECT sum(sold) = (SELECT sum(quantity) FROM lines)
            AND min(on_hand + sold) = {DELIVERED} AND max(on_hand + sold) = {DELIVERED}
        FROM stock""",
    "each visit has its invoice": """
        SELECT (SELECT sum(visits) FROM customers) = (SELECT count(*) FROM invoices)""",
}


def verify(path, live=None):
    """Returns {claim: whether it holds}.

    With `live`, the sales in `path` must be the first ones of that shop, row by row.
    """
    database = sqlite3.connect(path)
    held = {"SQLite's integrity_check finds nothing": integrity_is_ok(database)}
    for claim, query in CLAIMS.items():
        held[claim] = database.execute(query).fetchone()[0] == 1
    if live:
        database.execute("ATTACH ? AS live", [str(live)])
        for table, number in (
            ("invoices", "id"),
            ("lines", "invoice_id"),
            ("payments", "invoice_id"),
        ):
            rows = f"SELECT * FROM %s.{table} WHERE {number} <= ? ORDER BY id"
            held[f"the {table} are those of the living shop"] = same_rows(database, rows)
    database.close()
    return held


def integrity_is_ok(database):
    return database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def same_rows(database, query):
    """Whether both databases answer alike, up to the last sale of the restored one."""
    last = database.execute("SELECT max(id) FROM main.invoices").fetchone()
    return digest(database.execute(query % "main", last)) == digest(
        database.execute(query % "live", last)
    )


def digest(rows):
    """A hash over rows in their order, so that millions are compared without being kept."""
    seen = hashlib.blake2b()
    while batch := rows.fetchmany(10_000):
        seen.update(repr(batch).encode())
    return seen.digest()


# The command line


def bytes_of(text):
    """`100M` is 100,000,000."""
    units = {"K": 10**3, "M": 10**6, "G": 10**9}
    return int(float(text[:-1]) * units[text[-1]]) if text[-1] in units else int(text)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make_command = commands.add_parser("make")
    make_command.add_argument("--bytes", type=bytes_of, default=10**8)
    make_command.add_argument("--seed", type=int, default=1)
    sell_command = commands.add_parser("sell")
    sell_command.add_argument("--per-second", type=float, help="default: without a pause")
    sell_command.add_argument("--seed", type=int, default=1)
    amount = sell_command.add_mutually_exclusive_group(required=True)
    amount.add_argument("--count", type=int)
    amount.add_argument("--forever", action="store_true")
    count_command = commands.add_parser("count")
    verify_command = commands.add_parser("verify")
    verify_command.add_argument("--live", help="the shop itself, which may have sold more since")
    for command in (make_command, sell_command, count_command, verify_command):
        command.add_argument("database")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    match arguments.command:
        case "make":
            make(arguments.database, arguments.bytes, arguments.seed)
        case "sell":
            seconds = sell(
                arguments.database, arguments.count, arguments.per_second, arguments.seed
            )
            print(f"{len(seconds):,} sales, the slowest took {max(seconds) * 1000:.0f} ms")
        case "count":
            print(count_sales(arguments.database))
        case "verify":
            held = verify(arguments.database, arguments.live)
            for claim, holds in held.items():
                print(f"  {'ok' if holds else 'BROKEN':8}{claim}")
            return 0 if all(held.values()) else 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
