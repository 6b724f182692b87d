// "12 sec. ago" beside times, in the page's language, by the server's clock.
const root = document.documentElement;
const ahead = Number(root.dataset.nowMs) - Date.now();
const words = new Intl.RelativeTimeFormat(root.lang, { numeric: "always", style: "short" });
const SPANS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function age(ms) {
  const seconds = Math.max(0, Math.round((Date.now() + ahead - ms) / 1000));
  const [unit, size] = SPANS.find(([, length]) => seconds >= length) ?? SPANS[3];
  return words.format(-Math.floor(seconds / size), unit);
}

export function showAges(within = document) {
  for (const element of within.querySelectorAll("[data-age-ms]")) {
    const text = age(Number(element.dataset.ageMs));
    if (element.textContent !== text) element.textContent = text;
  }
}

showAges();
setInterval(showAges, 1000);
