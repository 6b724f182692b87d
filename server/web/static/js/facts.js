// Fills the elements of the template macro `fact` with what display.Shown.as_json() gave.
import { showAges } from "./ages.js";

function part(element, name) {
  return element.querySelector(`.${name}`) ?? element.appendChild(Object.assign(document.createElement("span"), { className: name }));
}

export function showFacts(within, facts) {
  for (const element of within.querySelectorAll("[data-fact]")) {
    const fact = facts[element.dataset.fact];
    if (!fact) continue;
    part(element, "value").textContent = fact.text;
    if (fact.unit || element.querySelector(".unit")) part(element, "unit").textContent = fact.unit ?? "";
    if (fact.time_ms !== undefined) part(element, "age").dataset.ageMs = fact.time_ms;
    element.dataset.tone = fact.tone ?? "";
    element.title = fact.title ?? "";
  }
  showAges(within);
}
