// One vehicle: its track of the chosen period, then what the live stream adds.
import { createMap } from "./base_map.js";
import { showFacts } from "./facts.js";
import { listen } from "./live.js";
import { Track } from "./track.js";
import { VehicleMarker } from "./vehicle_marker.js";

const REFETCH_MS = 30000;
const MOST_POINTS = 7000; // the server thins to 5000; an open page adds one a second
const { vehicle: id, hours } = document.getElementById("vehicle").dataset;
const element = document.getElementById("map");
const map = createMap(element);
const track = new Track(map, element.dataset);
const marker = new VehicleMarker(map);
const numbers = new Intl.NumberFormat("en");
let follows = true;
let refetchTimer = 0;

const follow = document.createElement("button");
follow.className = "follow";
follow.type = "button";
follow.textContent = element.dataset.textFollow;
follow.hidden = true;
element.append(follow);
window.L.DomEvent.disableClickPropagation(follow);
follow.addEventListener("click", () => {
  follows = true;
  keepInView();
});
map.on("dragstart", () => (follows = false));
map.on("moveend", () => (follow.hidden = follows || !marker.at));

function keepInView() {
  follow.hidden = follows || !marker.at;
  if (follows && marker.at && !map.getBounds().pad(-0.08).contains(marker.at)) map.panTo(marker.at);
}

function showDrawn() {
  const line = document.getElementById("drawn");
  const { length } = track.points;
  line.textContent = length
    ? line.dataset.text.replace("{drawn}", numbers.format(length)).replace("{stored}", numbers.format(track.stored))
    : "";
  document.getElementById("no-track").hidden = Boolean(length) || !marker.at;
}

function showVehicle(vehicle, tone) {
  marker.move(vehicle, tone);
  document.getElementById("never-positioned").hidden = vehicle.map_lat !== null;
}

let shownEvents = "";

// Only when there is something new: what a person has unfolded stays so.
function showEvents(events) {
  if (JSON.stringify(events) === shownEvents) return;
  shownEvents = JSON.stringify(events);
  document.getElementById("no-events").hidden = events.length > 0;
  document.getElementById("events").replaceChildren(...events.map(eventLine));
}

const add = (to, name, className, text) => to.appendChild(Object.assign(document.createElement(name), { className, textContent: text }));

function eventLine(event) {
  const line = document.createElement("li");
  add(line, "time", "", event.time.text).title = event.time.title ?? "";
  add(line, "span", "what", event.text);
  const details = add(line, "span", "details", "");
  addDetails(details, event.details);
  if (event.more.length) {
    const folded = add(details, "details", "", "");
    add(folded, "summary", "", document.getElementById("events").dataset.textMore);
    addDetails(folded, event.more);
  }
  return line;
}

function addDetails(to, pairs) {
  for (const [name, value] of pairs) {
    const detail = add(to, "span", "", "");
    add(detail, "i", "", name);
    detail.append(` ${value}`);
  }
}

async function fetchTrack() {
  const answer = await fetch(`/vehicles/${id}/track.json?hours=${hours}`);
  if (answer.ok) track.set(await answer.json());
  showDrawn();
}

function onNews(data) {
  showFacts(document, data.facts);
  showVehicle(data.vehicle, data.facts.status.tone);
  showEvents(data.events);
  track.append(data.track);
  showDrawn();
  keepInView();
  if ((data.history_grew || track.points.length > MOST_POINTS) && !refetchTimer) {
    refetchTimer = setTimeout(() => {
      refetchTimer = 0;
      fetchTrack();
    }, REFETCH_MS);
  }
}

const twin = `/vehicles/${id}.json`;
const state = await (await fetch(twin)).json();
showVehicle(state, document.querySelector('[data-fact="status"]').dataset.tone);
await fetchTrack();
if (track.points.length) map.fitBounds(track.bounds.pad(0.15), { maxZoom: 16, animate: false });
else if (marker.at) map.setView(marker.at, 15, { animate: false });
showDrawn();
listen({
  url: (lastId) => `/live/vehicles/${id}?after=${lastId || track.lastTime || ""}`,
  event: "vehicle",
  onEvent: onNews,
  twin,
  onPoll: (vehicle) => {
    showVehicle(vehicle);
    fetchTrack();
  },
});
