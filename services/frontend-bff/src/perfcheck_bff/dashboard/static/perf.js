// Refreshes the page /perf each second from /api/cache, and its checks every five from /api/health.
// The server has rendered everything once; without this module the page shows that moment.
const EVERY_MS = 1000;
const TIMEOUT_MS = 3000;
const HEALTH_EVERY = 5;

const root = document.querySelector("[data-perf]");
const words = root.dataset;
const statusLine = document.querySelector("[data-status]");
const button = document.querySelector("[data-pause]");
const checks = document.querySelector("[data-checks]");
const count = new Intl.NumberFormat(document.documentElement.lang);
const decimals = new Intl.NumberFormat(document.documentElement.lang, {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
let paused = false;
let ticks = 0;
let timer = 0;

const show = (name, text) => {
  const place = document.querySelector(`[data-live="${name}"]`);
  if (place.textContent !== text) place.textContent = text;
};

// Only a change of state is announced to screen readers, never each second.
const say = (word) => {
  if (statusLine.textContent !== word) statusLine.textContent = word;
};

const size = (bytes) => {
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB"]) {
    if (value < 1024) return `${unit === "B" ? value : decimals.format(value)} ${unit}`;
    value /= 1024;
  }
  return `${decimals.format(value)} GiB`;
};

const row = (cells) => {
  const line = document.createElement("tr");
  for (const { tag = "td", text, className = "", state = "" } of cells) {
    const cell = document.createElement(tag);
    if (tag === "th") cell.scope = "row";
    cell.className = className;
    if (state) {
      const mark = document.createElement("span");
      mark.className = `state ${state}`;
      mark.textContent = text;
      cell.append(mark);
    } else cell.textContent = text;
    line.append(cell);
  }
  return line;
};

const read = async (path) => {
  const reply = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!reply.ok && reply.status !== 503) throw new Error(`${path}: ${reply.status}`);
  return reply.json();
};

const showCache = (cache) => {
  const { hits, stale, misses } = cache.counters;
  const answers = hits + stale + misses;
  show("hit_rate", answers ? `${decimals.format((100 * hits) / answers)}%` : "–");
  show("answers", words.noteAnswers.replace("{count}", count.format(answers)));
  show("lease", `${decimals.format(cache.lease_remaining_s)} s`);
  show("pages", count.format(cache.local.pages));
  show("bytes", words.noteBytes.replace("{bytes}", size(cache.local.bytes)));
  show("position", cache.position === null ? "–" : String(cache.position));
  show("joined", cache.joined ? words.wordJoined : words.wordApart);
  for (const cell of document.querySelectorAll("[data-count]")) {
    const text = count.format(cache.counters[cell.dataset.count]);
    if (cell.textContent !== text) cell.textContent = text;
  }
};

const showHealth = (health) => {
  checks.replaceChildren(
    ...Object.entries(health.checks).map(([name, check]) =>
      row([
        { tag: "th", text: name },
        { text: check.status, state: check.status },
        { text: `${decimals.format(check.ms)} ms`, className: "number" },
        { text: check.detail },
      ]),
    ),
  );
};

const tick = async () => {
  const started = performance.now();
  try {
    showCache(await read("/api/cache"));
    if (ticks % HEALTH_EVERY === 0) showHealth(await read("/api/health"));
    ticks += 1;
    if (!paused) say(words.wordLive);
  } catch {
    if (!paused) say(words.wordLost);
  }
  if (!paused) timer = setTimeout(tick, Math.max(0, EVERY_MS - (performance.now() - started)));
};

button.hidden = false;
button.addEventListener("click", () => {
  paused = !paused;
  button.textContent = paused ? words.wordResume : words.wordPause;
  clearTimeout(timer);
  if (paused) say(words.wordPaused);
  else tick();
});
tick();
