function showChoices(data) {
  const root = document.getElementById("choices");
  if (!root || !data) return;
  const form = root.querySelector("form");
  const bars = root.querySelector(".bars");
  const digits = value => value >= 100 ? value.toLocaleString("en-US", { maximumFractionDigits: 0 }) : String(Number(value.toPrecision(3)));
  const input = name => form.elements.namedItem(name);
  const picked = (key, values) => values.length > 1 ? Number(input(key).value) : 0;
  const state = () => {
    const prices = Object.fromEntries(data.prices.map((each, place) => [each.id, Number(input(`price-${place}`).value)]));
    return { prices, context: picked("context", data.contexts), target: picked("target", data.targets) };
  };
  const costOf = (fleet, now) => {
    const rate = fleet.rates ? fleet.rates[now.context][now.target] : 1;
    if (!rate) return { cost: null, why: "not feasible" };
    let hourly = fleet.fixed;
    for (const [id, many] of Object.entries(fleet.devices)) {
      if (!now.prices[id]) return { cost: null, why: "no price" };
      hourly += many * now.prices[id] / data.hours;
    }
    const devices = Object.values(fleet.devices).reduce((sum, many) => sum + many, 0) / rate;
    return { cost: hourly / data.served_per_hour / rate, devices: Math.ceil(devices - 1e-6), fleet };
  };
  const bestOf = now => {
    const found = new Map();
    for (const fleet of data.fleets) {
      const one = { ...costOf(fleet, now), fleet };
      const known = found.get(fleet.system);
      if (!known || known.cost === null || one.cost !== null && one.cost < known.cost) found.set(fleet.system, one);
    }
    return [...found.values()];
  };
  const element = (tag, kind, text) => {
    const made = document.createElement(tag);
    made.className = kind;
    made.textContent = text;
    return made;
  };
  const verdict = ranked => {
    if (!ranked.length) return "No candidate serves this.";
    const [first, second] = ranked;
    let text = `${first.fleet.name} (${first.fleet.way}) is cheapest: ${digits(first.cost)} USD per ${data.per}`;
    if (second) {
      const more = second.cost / first.cost - 1;
      text += `; ${second.fleet.name} (${second.fleet.way}) costs ${(100 * more).toFixed(0)}% more`;
      if (more <= data.close) text += ", too close to call";
    }
    return text + ".";
  };
  const show = () => {
    const now = state();
    data.prices.forEach((each, place) => {
      const value = Number(input(`price-${place}`).value);
      input(`price-${place}`).nextElementSibling.textContent = value ? digits(value) : "not known";
    });
    for (const [key, values] of [["context", data.contexts], ["target", data.targets]]) {
      if (values.length > 1) input(key).nextElementSibling.textContent = values[now[key]].toLocaleString("en-US");
    }
    const found = bestOf(now);
    const ranked = found.filter(each => each.cost !== null).sort((one, other) => one.cost - other.cost);
    const most = Math.max(...ranked.map(each => each.cost), 0);
    root.querySelector(".finding").textContent = verdict(ranked);
    bars.replaceChildren(...found.map(each => {
      const row = element("div", each === ranked[0] ? "bar first" : "bar", "");
      const line = element("i", "", "");
      line.style.width = each.cost === null ? "0" : `${100 * each.cost / most}%`;
      const track = element("span", "track", "");
      track.append(line);
      const told = each.cost === null ? each.why : `${digits(each.cost)} USD, ${each.devices.toLocaleString("en-US")} devices`;
      row.append(element("span", "who", `${each.fleet.name}, ${each.fleet.way}`), track, element("span", "cost", told));
      return row;
    }));
    root.querySelector(".set").textContent = [...form.querySelectorAll("label")]
      .map(label => `${label.querySelector("span").textContent}: ${label.querySelector("output").textContent}`).join("; ");
  };
  form.addEventListener("input", () => { root.dataset.moved = "yes"; show(); });
  form.addEventListener("reset", () => setTimeout(() => { delete root.dataset.moved; show(); }));
  root.hidden = false;
  show();
}
