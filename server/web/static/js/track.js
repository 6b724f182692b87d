// A track on the map: solid where positions follow each other, dashed over silences, arrows for the direction.
import { localTime } from "./times.js";

const L = window.L;
const COLOUR = "#0f6e84";
const GAP_MS = 5 * 60 * 1000; // as in track_drawing.py: for points that arrive live
const ARROW_EVERY_PX = 130;
const MOST_ARROWS = 60;
const SVG = "http://www.w3.org/2000/svg";

function arrowIcon(turn) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 14 14");
  const path = svg.appendChild(document.createElementNS(SVG, "path"));
  path.setAttribute("d", "M7 1.500 12 12 7 9.500 2 12z");
  svg.style.transform = `rotate(${turn}deg)`;
  return L.divIcon({ className: "track-arrow", html: svg, iconSize: [14, 14] });
}

export class Track {
  constructor(map, { textStart, textEnd }) {
    this.map = map;
    this.texts = [textStart, textEnd];
    this.layer = L.layerGroup().addTo(map);
    this.arrows = L.layerGroup().addTo(map);
    this.points = [];
    this.stored = 0;
    map.on("moveend", () => this.drawArrows());
  }

  get lastTime() {
    return this.points.at(-1)?.time ?? 0;
  }

  get bounds() {
    return L.latLngBounds(this.points.map((point) => point.at));
  }

  set(data) {
    this.points = read(data, 0);
    this.stored = data.stored;
    this.draw();
  }

  append(data) {
    const added = read(data, this.lastTime);
    if (!added.length) return;
    const before = this.points.at(-1);
    if (before && added[0].time - before.time > GAP_MS) added[0].afterGap = true;
    this.points.push(...added);
    this.stored += data.stored;
    this.draw();
  }

  draw() {
    this.layer.clearLayers();
    const pieces = [];
    for (const point of this.points) {
      if (!pieces.length || point.afterGap) pieces.push([]);
      pieces.at(-1).push(point);
    }
    pieces.forEach((piece, index) => {
      const line = piece.map((point) => point.at);
      const before = pieces[index - 1]?.at(-1);
      if (before) this.line([before.at, line[0]], { color: COLOUR, weight: 2, dashArray: "3 7", opacity: 0.7 });
      this.line(line, { color: "#fff", weight: 7, opacity: 0.9 });
      this.line(line, { color: COLOUR, weight: 3.5 }).on("mousemove", (event) => this.tell(event));
    });
    const [first, last] = [this.points[0], this.points.at(-1)];
    if (first) this.mark(first, "#15803d", this.texts[0]);
    if (last && last !== first) this.mark(last, "#b3261e", this.texts[1]);
    this.drawArrows();
  }

  line(latLngs, style) {
    return L.polyline(latLngs, { ...style, lineJoin: "round", lineCap: "round" }).addTo(this.layer);
  }

  mark(point, color, text) {
    L.circleMarker(point.at, { radius: 6, color, weight: 3, fillColor: "#fff", fillOpacity: 1 })
      .bindTooltip(`${text} ${localTime(point.time)}`)
      .addTo(this.layer);
  }

  tell({ latlng, target }) {
    const distance = ({ at }) => (at[0] - latlng.lat) ** 2 + ((at[1] - latlng.lng) * Math.cos((latlng.lat * Math.PI) / 180)) ** 2;
    const near = this.points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
    const speed = near.speed === null ? "" : ` · ${Math.round(near.speed * 3.6)} km/h`;
    target.unbindTooltip().bindTooltip(`${localTime(near.time)}${speed}`, { sticky: true }).openTooltip(latlng);
  }

  drawArrows() {
    this.arrows.clearLayers();
    const view = this.map.getBounds().pad(0.05);
    let travelled = ARROW_EVERY_PX / 2;
    let before = null;
    let drawn = 0;
    for (const point of this.points) {
      const here = this.map.latLngToLayerPoint(point.at);
      if (before && !point.afterGap) {
        travelled += here.distanceTo(before);
        if (travelled >= ARROW_EVERY_PX && view.contains(point.at) && here.distanceTo(before) > 1 && drawn < MOST_ARROWS) {
          const turn = (Math.atan2(here.x - before.x, before.y - here.y) * 180) / Math.PI;
          L.marker(point.at, { icon: arrowIcon(turn), interactive: false, keyboard: false, zIndexOffset: -500 }).addTo(this.arrows);
          travelled = 0;
          drawn += 1;
        }
      }
      before = here;
    }
  }
}

function read(data, after) {
  const gaps = new Set(data.gaps);
  return data.time_ms
    .map((time, i) => ({ time, at: [data.map_lat[i], data.map_lon[i]], speed: data.speed_mps[i], afterGap: gaps.has(i) }))
    .filter((point) => point.time > after);
}
