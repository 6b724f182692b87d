// The vehicle itself: a disc that points where it goes, on a circle of its rough accuracy.
const L = window.L;
const SVG = "http://www.w3.org/2000/svg";
const METRES_PER_HDOP = 5;
const MOVING_MPS = 1.5; // as in vehicle_status.py: standing, the course is noise

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export class VehicleMarker {
  constructor(map) {
    this.map = map;
    this.svg = shape("svg", { viewBox: "-17 -17 34 34" });
    this.svg.append(shape("circle", { r: 11, class: "body" }), shape("path", { d: "M0-6.500 4.600 5.500 0 3-4.600 5.500z", class: "pointer" }));
    this.disc = shape("circle", { r: 4, class: "pointer" });
    this.svg.append(this.disc);
    this.marker = L.marker([0, 0], { icon: L.divIcon({ className: "vehicle-marker", html: this.svg, iconSize: [34, 34] }), keyboard: false, interactive: false, zIndexOffset: 1000 });
    this.circle = L.circle([0, 0], { radius: 1, color: "#0f6e84", weight: 1, fillOpacity: 0.12, interactive: false });
  }

  get at() {
    return this.map.hasLayer(this.marker) ? this.marker.getLatLng() : null;
  }

  move(vehicle, tone) {
    if (vehicle.map_lat === null) return;
    const { course_deg: course, speed_mps: speed, hdop, position_accuracy_m: accuracy } = vehicle.state;
    const points = course !== null && (speed ?? 0) >= MOVING_MPS;
    this.circle.setLatLng([vehicle.map_lat, vehicle.map_lon]).setRadius(accuracy ?? (hdop ?? 0) * METRES_PER_HDOP).addTo(this.map);
    this.marker.setLatLng([vehicle.map_lat, vehicle.map_lon]).addTo(this.map);
    this.svg.querySelector("path").style.display = points ? "" : "none";
    this.disc.style.display = points ? "none" : "";
    this.svg.style.transform = points ? `rotate(${course}deg)` : "";
    const element = this.marker.getElement();
    element.dataset.tone = tone ?? "";
    Object.assign(element.dataset, { lat: vehicle.map_lat, lon: vehicle.map_lon });
  }
}
