/* What mlabhub adds to JupyterLab's page. */

import { alone } from "./alone/plugin.js";
import { idle } from "./idle/plugin.js";
import { lasting } from "./lasting/plugin.js";

export default [lasting, alone, idle];
