// Draws the Vega-Lite specification that each `.chart` holds in it.
const charts = [...document.querySelectorAll(".chart")];
Promise.all(
  charts.map((chart) => {
    const specification = JSON.parse(chart.querySelector("script").textContent);
    const place = document.createElement("div");
    chart.append(place);
    return vegaEmbed(place, specification, { mode: "vega-lite", renderer: "svg", actions: false });
  }),
).then(() => document.body.setAttribute("data-drawn", charts.length));
