// Draws what the page carries and answers its selectors; reads the data block next to it and asks the network nothing.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data-of-the-page").textContent);
  const SYMBOLS = ["circle", "square", "diamond", "cross", "triangle-up", "x"];
  const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
  const NAMELESS = /^(other|not given|unknown|unassigned|undefined|ambiguous|nan|n\/?a|none|-)$/i;
  const MAX_LINES = 200;
  const MAX_LETTERS = 28;
  const LETTERS_OF_TWO = 16;
  const FEW = 40;
  const MANY = 3000;
  const narrow = matchMedia("(max-width: 40rem)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const element = (id) => document.getElementById(id);

  const unpacked = (each) => {
    const bytes = Uint8Array.from(atob(each.data), (letter) => letter.charCodeAt(0));
    const codes = new TYPES[each.type](bytes.buffer);
    return each.step === undefined ? codes : Float32Array.from(codes, (code) => each.low + each.step * code);
  };
  /** Text that plotly shows letter by letter: its labels read a little HTML. */
  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  /** A name with room for a plot next to it. */
  const short = (text, most = MAX_LETTERS) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const number = (value) => value.toLocaleString("en");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const shaded = (shades) => (dark.matches ? shades.dark : shades.light);
  const palette = () => shaded(data.palette);
  const hasWebGL = (() => {
    try {
      return Boolean(document.createElement("canvas").getContext("webgl"));
    } catch {
      return false;
    }
  })();
  const dots = (n) => (n > MANY && hasWebGL ? "scattergl" : "scatter");

  const options = (select, entries, chosen) => {
    select.replaceChildren(
      ...entries.map(([value, name]) => {
        const option = document.createElement("option");
        option.value = value;
        option.textContent = name;
        return option;
      }),
    );
    if (chosen !== undefined) select.value = chosen;
  };
  const table = (place, rows) => {
    place.replaceChildren(
      ...rows.map((row, i) => {
        const line = document.createElement("tr");
        line.append(
          ...row.map((text) => {
            const cell = document.createElement(i === 0 ? "th" : "td");
            if (i === 0) cell.scope = "col";
            cell.textContent = text;
            return cell;
          }),
        );
        return line;
      }),
    );
  };

  /** The page's own colours and letters on a layout; margins grow with what stands in them. */
  const themed = (layout) => {
    const axis = {
      gridcolor: colour("faint"),
      linecolor: colour("line"),
      zerolinecolor: colour("line"),
      tickcolor: colour("line"),
      automargin: true,
    };
    const found = {
      paper_bgcolor: colour("paper"),
      plot_bgcolor: colour("paper"),
      font: { family: getComputedStyle(document.body).fontFamily, size: 14, color: colour("ink") },
      hoverlabel: { bgcolor: colour("field"), bordercolor: colour("line"), font: { color: colour("ink") }, align: "left" },
      margin: { l: 56, r: 16, t: 34, b: 48 },
      hovermode: "closest",
      dragmode: narrow.matches ? false : "zoom",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("accent") },
      ...layout,
    };
    for (const name of ["xaxis", "yaxis"]) {
      const own = layout[name] ?? {};
      found[name] = { ...axis, ...own, title: { standoff: 10, ...(own.title ?? {}), font: { size: narrow.matches ? 12 : 14, color: colour("soft") } } };
    }
    return found;
  };
  const below = { orientation: "h", x: 0, xanchor: "left", y: -0.2, yanchor: "top", itemsizing: "constant" };
  const twoColumns = { entrywidth: 0.48, entrywidthmode: "fraction", font: { size: 11 } };
  const onTheRight = { x: 1.01, xanchor: "left", y: 1, yanchor: "top", itemsizing: "constant" };
  const config = {
    responsive: true,
    displaylogo: false,
    doubleClick: "reset",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };
  const draw = (id, traces, layout) =>
    Plotly.react(element(id), traces, themed({ ...layout, height: element(id).clientHeight }), {
      ...config,
      displayModeBar: narrow.matches ? false : "hover",
    });
  const redraws = [];
  const kept = (drawing) => {
    redraws.push(drawing);
    drawing();
  };

  // ---- shared space

  const drawSpace = (() => {
    const space = data.space;
    const x = unpacked(space.x);
    const y = unpacked(space.y);
    const cell = unpacked(space.cell);
    const modality = { levels: space.modality.levels, codes: unpacked(space.modality.codes) };
    const labels = space.labels.map((each) => ({ ...each, codes: unpacked(each.codes) }));
    const numbers = space.numbers.map((each) => ({ ...each, values: unpacked(each.values) }));
    const partners = new Map();
    cell.forEach((name, point) => partners.set(name, [...(partners.get(name) ?? []), point]));
    const pairs = [...partners.values()].filter((points) => points.length > 1);
    const stride = Math.max(1, Math.ceil(pairs.length / MAX_LINES));
    const drawnPairs = pairs.filter((_, i) => i % stride === 0);
    const by = element("space-colour");
    const highlight = element("space-highlight");
    const shown = element("space-shown");
    const lines = element("space-lines");
    options(by, [
      ...labels.map((each, i) => [`label ${i}`, each.name]),
      ...numbers.map((each, i) => [`number ${i}`, each.name]),
    ]);
    const preferred = labels.findIndex((each) => /type|annot|cluster/i.test(each.name));
    if (preferred > 0) by.value = `label ${preferred}`;
    options(shown, [["", "all measurements"], ...modality.levels.map((name, i) => [String(i), name])]);
    const chosenLabel = () => (by.value.startsWith("label") ? labels[Number(by.value.slice(6))] : undefined);
    const chosenNumber = () => (by.value.startsWith("number") ? numbers[Number(by.value.slice(7))] : undefined);

    const relabel = () => {
      const label = chosenLabel();
      highlight.disabled = label === undefined;
      options(highlight, [["", "nothing"], ...(label?.levels ?? []).map((name, i) => [String(i), name])]);
    };
    const isShown = (point) => shown.value === "" || modality.codes[point] === Number(shown.value);
    const text = (point) => {
      const label = chosenLabel();
      const figure = chosenNumber();
      const more = label
        ? label.name === "modality" ? "" : `<br>${plain(label.name)}: ${plain(label.levels[label.codes[point]])}`
        : `<br>${plain(figure.name)}: ${Number.isFinite(figure.values[point]) ? figure.values[point].toPrecision(3) : "not given"}`;
      return `${plain(space.names[cell[point]])}<br>${plain(modality.levels[modality.codes[point]])}${more}`;
    };
    const trace = (points, name, marker) => ({
      type: dots(x.length),
      mode: "markers",
      x: points.map((point) => x[point]),
      y: points.map((point) => y[point]),
      text: points.map(text),
      customdata: points,
      hovertemplate: "%{text}<extra></extra>",
      name: plain(short(name, narrow.matches ? LETTERS_OF_TWO : MAX_LETTERS)),
      marker: { size: Math.max(3.5, Math.min(8, 220 / Math.sqrt(x.length))), opacity: 0.75, line: { width: 0 }, ...marker },
    });
    const shade = (label, i, place) =>
      label.name === "modality" && data.modalities[label.levels[i]]
        ? shaded(data.modalities[label.levels[i]])
        : palette()[place % palette().length];
    const traces = () => {
      const points = Array.from(x.keys()).filter(isShown);
      const figure = chosenNumber();
      if (figure) {
        const known = points.filter((point) => Number.isFinite(figure.values[point]));
        const scale = {
          color: known.map((point) => figure.values[point]),
          colorscale: "Cividis",
          showscale: true,
          colorbar: { thickness: 12, outlinewidth: 0, title: { text: plain(figure.name), side: "right" } },
        };
        return [trace(known, figure.name, scale)];
      }
      const label = chosenLabel();
      const groups = label.levels.map(() => []);
      for (const point of points) groups[label.codes[point]].push(point);
      const marked = highlight.value === "" ? -1 : Number(highlight.value);
      const isNamed = label.levels.map((name) => !NAMELESS.test(name));
      const place = label.levels.map((_, i) => isNamed.slice(0, i).filter(Boolean).length);
      const found = groups.map((group, i) => {
        const isMarked = marked < 0 || marked === i;
        return trace(group, label.levels[i], {
          color: isMarked && isNamed[i] ? shade(label, i, place[i]) : colour(isMarked ? "soft" : "ghost"),
          symbol: SYMBOLS[Math.floor(place[i] / palette().length) % SYMBOLS.length],
          ...(isMarked ? {} : { opacity: 0.35 }),
        });
      });
      if (marked >= 0) found.push({ ...found.splice(marked, 1)[0], legendrank: 1 });
      return found.filter((each) => each.x.length > 0);
    };
    const segment = (points) =>
      points.slice(1).map((point) => ({
        type: "line",
        x0: x[points[0]],
        y0: y[points[0]],
        x1: x[point],
        y1: y[point],
        line: { color: colour("ink"), width: 1 },
      }));
    const standing = () => (lines.checked ? drawnPairs.flatMap(segment).map((s) => ({ ...s, opacity: 0.35 })) : []);
    const redraw = () => {
      const isWide = !narrow.matches;
      const bare = { showgrid: false, showline: false, zeroline: false, showticklabels: false, ticks: "", title: { text: "" } };
      const label = chosenLabel();
      const nRows = Math.ceil((label?.levels.length ?? 0) / 2);
      element("plot-space").style.height = isWide ? "" : `${17 + 1.25 * nRows}rem`;
      draw("plot-space", traces(), {
        xaxis: { ...bare, range: range(x) },
        yaxis: { ...bare, range: range(y), scaleanchor: "x", scaleratio: 1 },
        showlegend: label !== undefined,
        legend: isWide ? { ...onTheRight, font: { size: 13 } } : { ...below, ...twoColumns, y: -0.02 },
        margin: { l: 4, r: isWide ? 16 : 4, t: 34, b: 4 },
        shapes: standing(),
        dragmode: isWide ? "pan" : false,
      });
      const n = Array.from(x.keys()).filter(isShown).length;
      const groups = label ? `${label.levels.length} values: ${label.levels.slice(0, 12).join(", ")}${label.levels.length > 12 ? ", …" : ""}` : "a number";
      element("plot-space").setAttribute(
        "aria-label",
        `Map of ${number(n)} points, coloured by ${by.selectedOptions[0].textContent} (${groups}). Points of ${modality.levels.join(" and ")} share one space.`,
      );
      if (label) {
        const counts = label.levels.map(() => modality.levels.map(() => 0));
        label.codes.forEach((code, point) => (counts[code][modality.codes[point]] += 1));
        table(element("space-table"), [[label.name, ...modality.levels], ...label.levels.map((name, i) => [name, ...counts[i].map(number)])]);
      }
    };
    const range = (values) => {
      let [low, high] = [Infinity, -Infinity];
      for (const value of values) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      const gap = 0.04 * (high - low || 1);
      return [low - gap, high + gap];
    };
    by.addEventListener("change", () => {
      relabel();
      redraw();
    });
    for (const control of [highlight, shown, lines]) control.addEventListener("change", redraw);
    relabel();
    const listen = () => {
      const place = element("plot-space");
      place.on("plotly_hover", (event) => {
        const point = event.points[0]?.customdata;
        if (point === undefined) return;
        const strong = segment(partners.get(cell[point])).map((s) => ({ ...s, line: { ...s.line, width: 2 } }));
        Plotly.relayout(place, { shapes: [...standing(), ...strong] });
      });
      place.on("plotly_unhover", () => Plotly.relayout(place, { shapes: standing() }));
    };
    return { redraw, listen };
  })();
  kept(drawSpace.redraw);
  drawSpace.listen();

  // ---- accuracy by feature

  const names = (select) => options(select, data.directions.map((each, i) => [String(i), each.name]));
  const matches = (name, search) => name.toLowerCase().includes(search.trim().toLowerCase());

  if (data.directions.length > 0) {
    const direction = element("accuracy-direction");
    const measure = element("accuracy-measure");
    const search = element("accuracy-search");
    names(direction);
    const remeasure = () => {
      const known = data.directions[Number(direction.value)].accuracy.map((each) => each.name);
      options(measure, known.map((name) => [name, name]), known.at(-1));
    };
    const redraw = () => {
      const chosen = data.directions[Number(direction.value)];
      const features = data.features[chosen.target];
      const scores = unpacked(chosen.accuracy.find((each) => each.name === measure.value).values);
      const order = Array.from(scores.keys())
        .filter((i) => Number.isFinite(scores[i]))
        .sort((a, b) => scores[b] - scores[a]);
      const place = new Map(order.map((i, rank) => [i, rank + 1]));
      const found = order.filter((i) => matches(features[i], search.value));
      const chance = measure.value === "AUROC" ? 0.5 : 0;
      const isFew = found.length <= FEW && found.length > 0;
      const guide = { type: "line", line: { color: colour("soft"), width: 1.5, dash: "dot" } };
      const named = isFew && !(order.length > FEW && search.value.trim() === "");
      const hover = found.map((i) => `${plain(features[i])}<br>${measure.value} ${scores[i].toFixed(3)}, rank ${number(place.get(i))} of ${number(order.length)}`);
      const common = { text: hover, hovertemplate: "%{text}<extra></extra>", showlegend: false, mode: "markers" };
      element("plot-accuracy").style.height = named ? `${Math.max(14, 6 + 1.6 * found.length)}rem` : "";
      if (named) {
        const trace = { ...common, type: "scatter", x: found.map((i) => scores[i]), y: found.map((_, row) => row), marker: { color: shaded(chosen.colour), size: 10 } };
        draw("plot-accuracy", [trace], {
          xaxis: { title: { text: measure.value }, range: span(order.map((i) => scores[i]), chance), zeroline: false },
          yaxis: {
            range: [found.length - 0.5, -0.5],
            tickvals: found.map((_, row) => row),
            ticktext: found.map((i) => plain(short(features[i]))),
            zeroline: false,
          },
          shapes: [{ ...guide, x0: chance, x1: chance, yref: "paper", y0: 0, y1: 1 }],
        });
      } else {
        const trace = {
          ...common,
          type: dots(found.length),
          x: found.map((i) => place.get(i)),
          y: found.map((i) => scores[i]),
          marker: { color: shaded(chosen.colour), size: found.length > 500 ? 4 : 7, opacity: 0.8 },
        };
        draw("plot-accuracy", [trace], {
          xaxis: { title: { text: `${chosen.kind}, the best first` }, range: [1 - 0.02 * order.length, 1.02 * order.length], zeroline: false, tickformat: ",d" },
          yaxis: { title: { text: measure.value }, range: span(order.map((i) => scores[i]), chance), zeroline: false },
          shapes: [{ ...guide, y0: chance, y1: chance, xref: "paper", x0: 0, x1: 1 }],
        });
      }
      const middle = order.length ? scores[order[Math.floor(order.length / 2)]].toFixed(2) : "–";
      const above = order.filter((i) => scores[i] > (measure.value === "AUROC" ? 0.7 : 0.5)).length;
      const said = search.value.trim()
        ? `${number(found.length)} of ${number(order.length)} ${chosen.kind} match “${search.value.trim()}”${found.length ? `: ${found.slice(0, 5).map((i) => `${features[i]} ${scores[i].toFixed(2)}`).join(", ")}${found.length > 5 ? ", …" : "."}` : "."}`
        : `${chosen.name}, ${number(chosen.cells)} cells: half of ${number(order.length)} ${chosen.kind} have a ${measure.value} above ${middle}; ${number(above)} are above ${measure.value === "AUROC" ? "0.7" : "0.5"}. The dotted line is chance.`;
      const unscored = scores.length - order.length;
      const rare = unscored ? ` ${number(unscored)} are open or closed in too few cells to be scored.` : "";
      const drawn = features.length < chosen.total ? ` ${number(features.length)} of ${number(chosen.total)} ${chosen.kind} are listed here, drawn by chance.` : "";
      element("accuracy-caption").textContent = said + rare + drawn;
      element("plot-accuracy").setAttribute("aria-label", said);
    };
    const span = (values, chance) => {
      const low = values.reduce((a, b) => Math.min(a, b), chance);
      const high = values.reduce((a, b) => Math.max(a, b), chance);
      const gap = 0.05 * (high - low || 1);
      return [low - gap, high + gap];
    };
    direction.addEventListener("change", () => {
      remeasure();
      redraw();
    });
    measure.addEventListener("change", redraw);
    search.addEventListener("input", redraw);
    remeasure();
    kept(redraw);
  }

  // ---- predicted against measured

  if (data.directions.length > 0) {
    const direction = element("values-direction");
    const search = element("values-search");
    const feature = element("values-feature");
    names(direction);
    const refill = () => {
      const features = data.directions[Number(direction.value)].sample.features;
      const last = feature.value;
      const groups = new Map();
      features.forEach((each, i) => {
        if (!matches(each.name, search.value)) return;
        groups.set(each.why, [...(groups.get(each.why) ?? []), i]);
      });
      const entry = (i) => {
        const option = document.createElement("option");
        option.value = String(i);
        option.textContent = `${features[i].name} (${features[i].correlation.toFixed(2)})`;
        return option;
      };
      feature.replaceChildren(
        ...[...groups].flatMap(([why, members]) => {
          const sorted = members.sort((a, b) => features[b].correlation - features[a].correlation);
          if (!why) return sorted.map(entry);
          const group = document.createElement("optgroup");
          group.label = why;
          group.append(...sorted.map(entry));
          return [group];
        }),
      );
      if ([...feature.options].some((option) => option.value === last)) feature.value = last;
      feature.disabled = feature.options.length === 0;
    };
    const redraw = () => {
      const chosen = data.directions[Number(direction.value)];
      const caption = element("values-caption");
      if (feature.value === "") {
        caption.textContent = `No shown feature is called “${search.value.trim()}”. ${number(chosen.sample.features.length)} of ${number(chosen.total)} ${chosen.kind} can be shown here: the most and least accurate and the most variable.`;
        return;
      }
      const shown = chosen.sample.features[Number(feature.value)];
      const measured = unpacked(shown.measured);
      const predicted = unpacked(shown.predicted);
      const some = chosen.sample.cells < chosen.cells ? `${number(chosen.sample.cells)} of ${number(chosen.cells)} cells` : `${number(chosen.cells)} cells`;
      const part = chosen.sample.features.length < chosen.total ? ` ${number(chosen.sample.features.length)} of ${number(chosen.total)} ${chosen.kind} can be chosen: the most and least accurate and the most variable.` : "";
      let said;
      if (chosen.binary) {
        const group = (isOpen) => Array.from(predicted).filter((_, i) => measured[i] > 0 === isOpen);
        const traces = [["closed in this cell", false], ["open in this cell", true]].map(([name, isOpen]) => ({
          type: "histogram",
          x: group(isOpen),
          histnorm: "probability",
          nbinsx: 40,
          bingroup: "both",
          name,
          opacity: 0.65,
          marker: { color: isOpen ? shaded(chosen.colour) : colour("soft") },
          hovertemplate: "%{x}: %{y:.0%}<extra>%{fullData.name}</extra>",
        }));
        draw("plot-values", traces, {
          barmode: "overlay",
          xaxis: { title: { text: `predicted ${chosen.scale}` } },
          yaxis: { title: { text: "share of cells" }, tickformat: ".0%" },
          legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
        });
        const mean = (values) => (values.length ? (values.reduce((a, b) => a + b, 0) / values.length).toFixed(3) : "–");
        said = `${shown.name}, ${chosen.name}, ${some}: mean predicted probability ${mean(group(true))} where the peak is open, ${mean(group(false))} where it is closed; correlation ${shown.correlation.toFixed(2)}. The further right the open cells, the better.`;
      } else {
        const top = Math.max(...measured, ...predicted) || 1;
        const traces = [
          { type: "scatter", mode: "lines", x: [0, top], y: [0, top], hoverinfo: "skip", line: { color: colour("soft"), width: 1.5, dash: "dot" } },
          {
            type: dots(measured.length),
            mode: "markers",
            x: measured,
            y: predicted,
            hovertemplate: "measured %{x:.2f}, predicted %{y:.2f}<extra></extra>",
            marker: { color: shaded(chosen.colour), size: 6, opacity: 0.6 },
          },
        ];
        draw("plot-values", traces, {
          xaxis: { title: { text: `measured ${plain(short(shown.name))}` }, zeroline: false },
          yaxis: { title: { text: `predicted ${plain(short(shown.name))}` }, zeroline: false },
          showlegend: false,
        });
        said = `${shown.name}, ${chosen.name}, ${some}: correlation ${shown.correlation.toFixed(2)} over all cells. A perfect prediction lies on the dotted line. Both axes: ${chosen.scale}.`;
      }
      caption.textContent = said + part;
      element("plot-values").setAttribute("aria-label", `Predicted against measured: ${said}`);
    };
    direction.addEventListener("change", () => {
      search.value = "";
      feature.replaceChildren();
      refill();
      redraw();
    });
    search.addEventListener("input", () => {
      refill();
      redraw();
    });
    feature.addEventListener("change", redraw);
    refill();
    kept(redraw);
  }

  // ---- curves

  const setting = element("curves-setting");
  const drawCurves = () => {
    for (const [name, figure] of Object.entries(data.drawings)) {
      const settings = Object.keys(figure.texts);
      const wanted = settings.includes(setting?.value) ? setting.value : settings[0];
      const shown = figure.data.filter((each) => !each.meta.guide && each.meta.setting === wanted);
      const ends = name === "coverage" ? [0, 1] : [0, Math.max(...shown.flatMap((each) => [...each.x, ...each.y]))];
      const guides = figure.data.filter((each) => each.meta.guide).map((each) => ({ ...each, x: ends, y: ends }));
      const traces = [...guides, ...shown]
        .map((each) => ({
          ...each,
          showlegend: !each.meta.guide,
          line: { ...each.line, color: each.meta.guide ? colour("soft") : palette()[each.meta.place % palette().length] },
        }));
      const layout = { xaxis: figure.layout.xaxis, yaxis: figure.layout.yaxis };
      const showlegend = traces.filter((each) => !each.meta.guide).length > 1;
      draw(`plot-${name}`, traces, { ...layout, showlegend, legend: { ...below, y: -0.25 } });
      element(`plot-${name}`).setAttribute("aria-label", figure.texts[wanted]);
      if (element(`text-${name}`)) element(`text-${name}`).textContent = figure.texts[wanted];
    }
  };
  setting?.addEventListener("change", drawCurves);
  kept(drawCurves);

  for (const query of [dark, narrow]) query.addEventListener("change", () => redraws.forEach((redraw) => redraw()));
  document.documentElement.dataset.ready = "yes";
})();
