// A moment in the lender's time zone, as the pages write it: 2026-11-23 20:58:31.
const zone = document.documentElement.dataset.zone || "UTC";
const parts = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });

export function localTime(ms) {
  return parts.format(new Date(ms));
}
