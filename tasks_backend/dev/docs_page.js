// Lets the page's requests be made as a user of the development issuer. Served by `dev` only.
"use strict";

const SCHEME = "bearerAuth";
const REMEMBERED = "tasks-backend-try-as"; // a name, never a token

const bar = document.createElement("p");
bar.className = "development";
bar.innerHTML = `<strong>Development</strong> <label>Try it as
  <select>
    <option>alice</option>
    <option>bob</option>
    <option value="">nobody (no token)</option>
    <option value="own" disabled>whoever the token names</option>
  </select></label>
  <span role="status"></span>`;
const [choice, status] = [bar.querySelector("select"), bar.querySelector("span")];
let offered = null;

const token = () => ui.authSelectors.authorized()?.getIn([SCHEME, "value"]);

async function become(user) {
  sessionStorage.setItem(REMEMBERED, user);
  if (token()) ui.authActions.logout([SCHEME]);
  if (!user) return;
  const response = await fetch(`docs/token?user=${user}`);
  if (!response.ok) return refuse();
  offered = { user, token: (await response.json()).token };
  ui.preauthorizeApiKey(SCHEME, offered.token);
}

function refuse() {
  const { host } = location;
  bar.textContent = `No token is offered at ${host}: open 127.0.0.1, or paste the printed token.`;
}

function show() {
  const used = token();
  choice.value = !used ? "" : used === offered?.token ? offered.user : "own";
  status.textContent = {
    "": "Operations with a lock answer 401.",
    own: "Your token is forgotten when the page is loaded again.",
  }[choice.value] ?? "A fresh token comes with each load of the page.";
}

addEventListener("ui-ready", async () => {
  document.body.prepend(bar);
  choice.addEventListener("change", () => become(choice.value));
  await become(sessionStorage.getItem(REMEMBERED) ?? "alice");
  ui.getStore().subscribe(show);
  show();
}, { once: true });
