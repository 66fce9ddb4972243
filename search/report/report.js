"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = () => window.innerWidth < 640;

  // Figures: drawn when they come near, and anew where the scheme changes.
  const figures = read("figure-data");

  function coloured(value) {
    const style = getComputedStyle(document.documentElement);
    const scheme = {
      "@foreground": style.getPropertyValue("--foreground").trim(),
      "@grid": style.getPropertyValue("--grid").trim(),
    };
    const replaced = (v) => {
      if (typeof v === "string") return Object.hasOwn(scheme, v) ? scheme[v] : v;
      if (Array.isArray(v)) return v.map(replaced);
      if (v && typeof v === "object") return Object.fromEntries(Object.entries(v).map(([k, w]) => [k, replaced(w)]));
      return v;
    };
    return replaced(value);
  }

  function layoutOf(figure) {
    const style = getComputedStyle(document.documentElement);
    const [foreground, grid, background] = ["--foreground", "--grid", "--background"].map((name) =>
      style.getPropertyValue(name).trim());
    const layout = coloured(figure.layout);
    const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: grid };
    for (const name of ["xaxis", "yaxis"]) layout[name] = { ...axis, ...layout[name] };
    if (layout.updatemenus) {
      layout.updatemenus = layout.updatemenus.map((menu) => ({
        bgcolor: background, bordercolor: grid, font: { color: foreground }, ...menu }));
    }
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: foreground, family: "system-ui, sans-serif", size: 12 },
      hoverlabel: { align: "left" },
      ...layout,
      margin: { l: 60, r: 20, t: 20, b: 60, ...layout.margin },
      legend: narrow()
        ? { orientation: "h", y: -0.3, yanchor: "top", font: { size: 11 } }
        : { font: { size: 11 }, ...layout.legend },
    };
  }

  function draw(place) {
    const figure = figures[place.dataset.figure];
    const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
    Plotly.react(place, coloured(figure.data), layoutOf(figure), options);
    place.dataset.drawn = "yes";
  }

  const places = [...document.querySelectorAll(".plot")];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
    }
  }, { rootMargin: "600px" });
  places.forEach((place) => seen.observe(place));
  dark.addEventListener("change", () => places.filter((place) => place.dataset.drawn).forEach(draw));
  window.addEventListener("beforeprint", () => places.filter((place) => !place.dataset.drawn).forEach(draw));

  // The table: sorted by a click on a column, filtered by words and conditions.
  const { columns, rows, winner } = read("table-data");
  const FEW = 20;
  const head = document.querySelector("#table thead");
  const body = document.querySelector("#table tbody");
  const filter = document.getElementById("filter");
  const more = document.getElementById("more");
  const shown = document.getElementById("shown");
  const place = Object.fromEntries(columns.map((column, n) => [column.name, n]));
  let order = { column: null, descending: false };
  let all = false;

  function text(value) {
    if (value === null) return "";
    return typeof value !== "number" || Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
  }

  function condition(term) {
    const parts = /^(\w+)(<=|>=|!=|=|<|>)(.*)$/.exec(term);
    if (!parts || !Object.hasOwn(place, parts[1])) {
      const word = term.toLowerCase();
      return (row) => row.some((value) => text(value).toLowerCase().includes(word));
    }
    const [, name, sign, given] = parts;
    const column = place[name];
    const number = Number(given);
    if (given !== "" && !Number.isNaN(number) && columns[column].number) {
      const holds = { "<": (v) => v < number, ">": (v) => v > number, "<=": (v) => v <= number,
        ">=": (v) => v >= number, "=": (v) => v === number, "!=": (v) => v !== number }[sign];
      return (row) => row[column] !== null && holds(row[column]);
    }
    return (row) => (text(row[column]).toLowerCase() === given.toLowerCase()) === (sign !== "!=");
  }

  function compare(a, b) {
    const [x, y] = [a[order.column], b[order.column]];
    if (x === null || y === null) return (x === null) - (y === null);
    const sign = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return order.descending ? -sign : sign;
  }

  function fill() {
    const conditions = filter.value.split(/\s+/).filter(Boolean).map(condition);
    let found = rows.filter((row) => conditions.every((holds) => holds(row)));
    if (order.column !== null) found = [...found].sort(compare);
    const some = all ? found : found.slice(0, FEW);
    body.replaceChildren(...some.map((row) => {
      const line = document.createElement("tr");
      if (row[place.trial_id] === winner) line.className = "winner";
      row.forEach((value, n) => {
        const cell = line.insertCell();
        cell.textContent = text(value);
        if (columns[n].number) cell.className = "number";
      });
      return line;
    }));
    shown.textContent = `${some.length} of ${found.length}${found.length < rows.length ? ` that match, of ${rows.length}` : ""}`;
    more.hidden = some.length === found.length;
    more.textContent = `Show all ${found.length}`;
  }

  const line = head.insertRow();
  columns.forEach((column, n) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    if (column.number) cell.className = "number";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = column.title;
    button.title = column.name;
    button.addEventListener("click", () => {
      order = { column: n, descending: order.column === n && !order.descending };
      [...line.cells].forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      fill();
    });
    cell.append(button);
    line.append(cell);
  });
  filter.addEventListener("input", () => { all = false; fill(); });
  more.addEventListener("click", () => { all = true; fill(); });
  fill();

  // Commands are there to be copied; where the clipboard is closed, as in some browsers from disk, they are selected.
  document.querySelectorAll(".copy").forEach((button) => {
    button.addEventListener("click", async () => {
      const pre = button.previousElementSibling;
      try {
        await navigator.clipboard.writeText(pre.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      } catch {
        getSelection().selectAllChildren(pre);
      }
    });
  });
})();
