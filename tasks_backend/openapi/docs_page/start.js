// Starts Swagger UI. `ui-ready` is dispatched on the window when the document is shown.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const applyTheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", applyTheme);
applyTheme();

/** Fill in the id of the created resource as the path parameter of the other operations. */
function fillInCreatedId(created) {
  const collection = new URL(created.url).pathname;
  const id = created.headers.location.split("/").at(-1);
  for (const [path, methods] of Object.entries(ui.specSelectors.specJson().toJS().paths)) {
    const [, parent, name] = path.match(/^(.+?)\/\{(\w+)\}/) ?? [];
    if (parent && collection.endsWith(parent)) {
      for (const method of Object.keys(methods)) {
        ui.specActions.changeParam([path, method], name, "path", id, false);
      }
    }
  }
}

/** Show each documented failure as one line that expands: there are many, all of one shape. */
const foldedFailures = {
  wrapComponents: {
    response: (Response, { React: { createElement, useState } }) => (props) => {
      const [open, setOpen] = useState(!/^[45]/.test(props.code));
      if (open) return createElement(Response, props);
      const sentence = createElement(
        "button",
        { className: "folded", type: "button", "aria-expanded": false, onClick: () => setOpen(true) },
        props.response.get("description"),
      );
      return createElement(
        "tr",
        { className: "response", "data-code": props.code },
        createElement("td", { className: "response-col_status" }, props.code),
        createElement("td", { className: "response-col_description" }, sentence),
      );
    },
  },
};

window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  docExpansion: "list",
  tagsSorter: (one, other) => (one === "health") - (other === "health"), // health last: it is for programs
  defaultModelsExpandDepth: 0,
  plugins: [foldedFailures],
  persistAuthorization: false, // no token is stored beyond the page
  validatorUrl: null,
  responseInterceptor: (response) => {
    if (response.status === 201 && response.headers.location) fillInCreatedId(response);
    return response;
  },
  onComplete: () => dispatchEvent(new Event("ui-ready")),
});
