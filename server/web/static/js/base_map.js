// A Leaflet map on our own graticule, or on tiles where some are set up.
import { addGraticule } from "./graticule.js";

const L = window.L;
const CHINA = [[18, 74], [53, 134]];

export function createMap(element) {
  const { datum, tileUrl, tileAttribution, textZoomIn, textZoomOut } = element.dataset;
  const map = L.map(element, { zoomControl: false, attributionControl: false, minZoom: 2, maxZoom: 19, zoomSnap: tileUrl ? 1 : 0.5, preferCanvas: true });
  L.control.zoom({ zoomInTitle: textZoomIn, zoomOutTitle: textZoomOut }).addTo(map);
  L.control.scale({ imperial: false, maxWidth: 130 }).addTo(map);
  if (tileUrl) {
    L.tileLayer(tileUrl, { maxZoom: 19, attribution: plain(tileAttribution) }).addTo(map);
    if (tileAttribution) L.control.attribution({ prefix: false, position: "topright" }).addTo(map);
  }
  if (datum === "wgs84") addGraticule(map); // on a shifted base map its degrees would be wrong
  map.fitBounds(CHINA, { animate: false });
  return map;
}

// Leaflet takes an attribution for HTML; the setting is text.
function plain(text) {
  const element = document.createElement("span");
  element.textContent = text;
  return element.innerHTML;
}
