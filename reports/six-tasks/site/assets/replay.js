// A small viewer of recorded point clouds: turn by pointer or arrow keys, zoom by + and -, play or slide through time.
"use strict";

const UNIT = 1e-4; // metres per stored unit

function decode(replay) {
  const bytes = Uint8Array.from(atob(replay.cloud), (letter) => letter.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}

class Viewer {
  constructor(figure) {
    this.canvas = figure.querySelector("canvas");
    this.button = figure.querySelector("button");
    this.slider = figure.querySelector("input");
    this.output = figure.querySelector("output");
    this.select = figure.querySelector("select");
    this.turn = 0.7;
    this.tilt = 0.5;
    this.zoom = 1;
    this.timer = null;
    figure.hidden = false;
    this.select.addEventListener("change", () => this.load());
    this.slider.addEventListener("input", () => this.draw());
    this.button.addEventListener("click", () => this.toggle());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("pointerdown", (event) => this.canvas.setPointerCapture(event.pointerId));
    this.canvas.addEventListener("pointermove", (event) => event.buttons && this.rotate(event.movementX / 150, event.movementY / 150));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.load();
  }

  load() {
    this.stop();
    this.replay = window.REPLAYS[Number(this.select.value)];
    this.cloud = decode(this.replay);
    this.slider.max = this.replay.step.length - 1;
    this.slider.value = 0;
    this.box = bounds(this.cloud);
    this.draw();
  }

  rotate(turn, tilt) {
    this.turn += turn;
    this.tilt = Math.max(-1.5, Math.min(1.5, this.tilt + tilt));
    this.draw();
  }

  key(event) {
    const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    const zooms = { "+": 1.15, "=": 1.15, "-": 1 / 1.15 };
    if (turns[event.key]) this.rotate(...turns[event.key]);
    else if (zooms[event.key]) {
      this.zoom = Math.max(0.4, Math.min(5, this.zoom * zooms[event.key]));
      this.draw();
    } else if (event.key === " ") this.toggle();
    else return;
    event.preventDefault();
  }

  toggle() {
    if (this.timer) return this.stop();
    if (Number(this.slider.value) >= Number(this.slider.max)) this.slider.value = 0;
    this.button.textContent = "Pause";
    this.timer = setInterval(() => {
      this.slider.value = Number(this.slider.value) + 1;
      this.draw();
      if (Number(this.slider.value) >= Number(this.slider.max)) this.stop();
    }, 120);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.button.textContent = "Play";
  }

  draw() {
    const { canvas, box } = this;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const frame = Number(this.slider.value);
    const scale = (this.zoom * 0.8 * canvas.height) / box.size;
    const [ct, st, ci, si] = [Math.cos(this.turn), Math.sin(this.turn), Math.cos(this.tilt), Math.sin(this.tilt)];
    const project = (x, y, z) => {
      const [dx, dy, dz] = [x - box.middle[0], y - box.middle[1], z - box.middle[2]];
      const [across, away] = [ct * dx - st * dy, st * dx + ct * dy];
      const near = 1 / (1 + (0.28 * (ci * away - si * dz)) / box.size); // mild perspective
      return [canvas.width / 2 + scale * near * across, canvas.height / 2 - scale * near * (ci * dz + si * away), near];
    };
    pen.clearRect(0, 0, canvas.width, canvas.height);
    this.floor(pen, project, style.getPropertyValue("--line"));
    const points = [];
    for (let i = 0; i < this.replay.points; i++) {
      const at = 3 * (frame * this.replay.points + i);
      const [x, y, z] = [this.cloud[at], this.cloud[at + 1], this.cloud[at + 2]];
      if (x || y || z) points.push([...project(x, y, z), (z - box.low[2]) / (box.high[2] - box.low[2] || 1)]); // zeros pad
    }
    points.sort((a, b) => a[2] - b[2]);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    for (const [x, y, near, height] of points) {
      pen.fillStyle = `hsl(${215 - 190 * height} ${dark ? 75 : 70}% ${dark ? 66 : 42}%)`;
      pen.beginPath();
      pen.arc(x, y, 5 * near * Math.sqrt(this.zoom), 0, 7);
      pen.fill();
    }
    const step = this.replay.step[frame];
    this.output.textContent = `step ${step}`;
    this.slider.setAttribute("aria-valuetext", `control step ${step}`);
  }

  floor(pen, project, colour) {
    const { low, high } = this.box;
    const tenth = 0.1 / UNIT; // a line each ten centimetres
    pen.strokeStyle = colour;
    pen.lineWidth = 1;
    pen.beginPath();
    const [x0, x1, y0, y1] = [Math.floor(low[0] / tenth), Math.ceil(high[0] / tenth), Math.floor(low[1] / tenth), Math.ceil(high[1] / tenth)];
    for (let x = x0; x <= x1; x++) line(x * tenth, y0 * tenth, x * tenth, y1 * tenth);
    for (let y = y0; y <= y1; y++) line(x0 * tenth, y * tenth, x1 * tenth, y * tenth);
    pen.stroke();
    function line(ax, ay, bx, by) {
      pen.moveTo(...project(ax, ay, low[2]));
      pen.lineTo(...project(bx, by, low[2]));
    }
  }
}

function bounds(cloud) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < cloud.length; i += 3) {
    if (!cloud[i] && !cloud[i + 1] && !cloud[i + 2]) continue;
    for (let k = 0; k < 3; k++) {
      low[k] = Math.min(low[k], cloud[i + k]);
      high[k] = Math.max(high[k], cloud[i + k]);
    }
  }
  const middle = low.map((value, k) => (value + high[k]) / 2);
  return { low, high, middle, size: Math.max(1, Math.hypot(...low.map((value, k) => high[k] - value)) / 1.4) };
}

for (const figure of document.querySelectorAll(".replay")) new Viewer(figure);
