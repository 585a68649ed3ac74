/** What a run is asked to do; `main.ts` says how. */

import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    pictures: { type: "boolean" },
    measure: { type: "boolean" },
    install: { type: "boolean" },
    only: { type: "string" },
    model: { type: "string" },
  },
});

export const options = {
  pictures: values.pictures ?? false,
  measure: values.measure ?? false,
  install: values.install ?? false,
  only: values.only ?? "",
  /** The scenarios know the bundled model's answers; what is measured may be another's. */
  model: (values.measure && values.model) || "starter",
};
