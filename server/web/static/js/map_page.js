// All vehicles of the lender on one map, live.
import { createMap } from "./base_map.js";
import { listen } from "./live.js";

const L = window.L;
const COLOURS = { good: "#15803d", calm: "#1d5fa8", warn: "#c77700", dim: "#6d7d86" };
const MOST_NAMED = 200; // beyond this, names only on hover
const element = document.getElementById("map");
const map = createMap(element);
const markers = new Map();
const withoutPosition = new Set();

function popup(vehicle) {
  const box = document.createElement("div");
  const add = (name, text) => box.appendChild(Object.assign(document.createElement(name), { textContent: text }));
  add("b", vehicle.name);
  const { status, speed, heard } = vehicle.facts;
  add("span", `${status.text} · ${speed.text} ${speed.unit ?? ""}`);
  add("span", heard.text).title = heard.title ?? "";
  add("a", element.dataset.textOpen).href = `/vehicles/${vehicle.id}`;
  return box;
}

function show(vehicle) {
  if (vehicle.map_lat === null) {
    withoutPosition.add(vehicle.id);
    return;
  }
  withoutPosition.delete(vehicle.id);
  let marker = markers.get(vehicle.id);
  if (!marker) {
    marker = L.circleMarker([0, 0], { radius: 8, color: "#fff", weight: 2, fillOpacity: 1 });
    markers.set(vehicle.id, marker);
    marker.bindPopup(() => popup(marker.vehicle), { closeButton: false });
  }
  marker.vehicle = vehicle;
  marker.setLatLng([vehicle.map_lat, vehicle.map_lon]);
  marker.setStyle({ fillColor: COLOURS[vehicle.facts.status.tone] ?? COLOURS.dim });
  marker.addTo(map);
  if (marker.isPopupOpen()) marker.setPopupContent(popup(vehicle));
}

function name(permanent) {
  for (const marker of markers.values()) {
    const text = document.createElement("span");
    text.textContent = marker.vehicle.name;
    marker.unbindTooltip().bindTooltip(text, { permanent, direction: "right", offset: [10, 0] });
  }
}

// A name that would cover another one waits until the map is zoomed in.
function partNames() {
  const taken = [];
  for (const marker of markers.values()) {
    const label = marker.getTooltip()?.getElement();
    if (!label || !marker.getTooltip().options.permanent) continue;
    const box = label.getBoundingClientRect();
    const covers = taken.some((it) => box.left < it.right && it.left < box.right && box.top < it.bottom && it.top < box.bottom);
    label.style.visibility = covers ? "hidden" : "";
    if (!covers) taken.push(box);
  }
}

function showAll(vehicles) {
  const before = markers.size;
  vehicles.forEach(show);
  if (markers.size !== before) name(markers.size <= MOST_NAMED);
  partNames();
  const line = document.getElementById("shown");
  line.textContent = line.dataset.text.replace("{shown}", markers.size).replace("{hidden}", withoutPosition.size);
}

const first = await (await fetch("/map.json")).json();
showAll(first.vehicles);
if (markers.size) map.fitBounds(L.latLngBounds([...markers.values()].map((each) => each.getLatLng())).pad(0.2), { maxZoom: 15, animate: false });
map.on("moveend", partNames);
listen({
  url: (lastId) => `/live/vehicles?since=${lastId || first.as_of_ms}`,
  event: "vehicles",
  onEvent: (data) => showAll(data.vehicles),
  twin: "/map.json",
  onPoll: (data) => showAll(data.vehicles),
});
