const input = "openapi.json";

module.exports = {
  tasks: { input, output: { target: "generated/orval.ts", client: "fetch", headers: true } },
  zod: { input, output: { target: "generated/zod.ts", client: "zod" } },
};
