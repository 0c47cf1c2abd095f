function showSliders(specification, drawn) {
  if (!specification) return drawn();
  const options = { mode: "vega-lite", renderer: "svg", actions: false };
  vegaEmbed("#sliders", specification, options).then(({ view }) => {
    const form = document.querySelector("#sliders form");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Back to today's links";
    button.addEventListener("click", () => {
      for (const each of specification.params) view.signal(each.name, each.value);
      view.run();
    });
    form.append(button);
    drawn();
  });
}
