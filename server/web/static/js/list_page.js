// The list: states, speeds and times of its lines, live.
import { showFacts } from "./facts.js";
import { listen } from "./live.js";

const table = document.getElementById("vehicles");
const notice = document.getElementById("new-vehicles");

function show(data) {
  for (const vehicle of data.vehicles) {
    const line = table?.querySelector(`[data-vehicle="${vehicle.id}"]`);
    if (line) {
      if (vehicle.facts) showFacts(line, vehicle.facts);
    } else if (!notice.dataset.partial) {
      notice.hidden = false;
    }
  }
}

const now = document.documentElement.dataset.nowMs;
listen({
  url: (lastId) => `/live/vehicles?since=${lastId || now}`,
  event: "vehicles",
  onEvent: show,
  twin: "/map.json",
  onPoll: show,
});
