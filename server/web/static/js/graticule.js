// Lines of latitude and longitude that adapt to the zoom, with their degrees at the edges: a base map of our own.
const L = window.L;
const STEPS = [30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001];
const CLOSEST_PX = 90;
const STYLE = { color: "#b9c9d0", weight: 1, interactive: false, pane: "graticule" };

function stepFor(map) {
  const centre = map.getCenter();
  const pixels = map.project([centre.lat, centre.lng + 1]).x - map.project(centre).x;
  return STEPS.findLast((step) => step * pixels >= CLOSEST_PX) ?? STEPS[0];
}

function* multiples(from, to, step) {
  for (let i = Math.ceil(from / step); i * step <= to; i++) yield i * step;
}

function degrees(value, step, positive, negative) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const text = Math.abs(value).toFixed(digits);
  return `${text}°${Number(text) === 0 ? "" : value > 0 ? positive : negative}`;
}

export function addGraticule(map) {
  map.createPane("graticule").style.zIndex = 250;
  const lines = L.layerGroup().addTo(map);
  let labels = [];

  function drawLines() {
    lines.clearLayers();
    const step = stepFor(map);
    const { _southWest: low, _northEast: high } = map.getBounds().pad(0.6);
    for (const lon of multiples(low.lng, high.lng, step)) L.polyline([[low.lat, lon], [high.lat, lon]], STYLE).addTo(lines);
    for (const lat of multiples(Math.max(low.lat, -85), Math.min(high.lat, 85), step)) {
      L.polyline([[lat, low.lng], [lat, high.lng]], STYLE).addTo(lines);
    }
    drawLabels();
  }

  function label(kind, text, side, pixels) {
    const element = L.DomUtil.create("div", `graticule-label ${kind}`, map.getContainer());
    element.textContent = text;
    element.style[side] = `${Math.round(pixels)}px`;
    labels.push(element);
  }

  function drawLabels() {
    labels.forEach((element) => element.remove());
    labels = [];
    const step = stepFor(map);
    const bounds = map.getBounds();
    const size = map.getSize();
    for (const lon of multiples(bounds.getWest(), bounds.getEast(), step)) {
      const { x } = map.latLngToContainerPoint([bounds.getSouth(), lon]);
      if (x > 180 && x < size.x - 70) label("lon", degrees(lon, step, "E", "W"), "left", x);
    }
    for (const lat of multiples(Math.max(bounds.getSouth(), -85), Math.min(bounds.getNorth(), 85), step)) {
      const { y } = map.latLngToContainerPoint([lat, bounds.getWest()]);
      if (y > 50 && y < size.y - 20) label("lat", degrees(lat, step, "N", "S"), "top", y);
    }
  }

  map.on("moveend resize", drawLines);
  map.on("move", drawLabels);
}
