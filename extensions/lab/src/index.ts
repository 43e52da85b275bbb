/* What mlabhub adds to JupyterLab's page. */

import { idle } from "./idle/plugin.js";
import { lasting } from "./lasting/plugin.js";

export default [lasting, idle];
