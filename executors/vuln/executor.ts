import { goVuln } from '../../go/vuln';
import { databaseOf } from '../../go/vuln-database';
import { currentProject } from '../project';
import { modulePackages, toolExecutorOf } from '../tool-executor';
import type { VulnOptions } from './schema';

/** Options after Nx has filled in the defaults of schema.json. */
type Options = VulnOptions & Required<Omit<VulnOptions, 'db'>>;

/** `slim-go:vuln`: no known vulnerability can be reached, or which one and from where. */
export default toolExecutorOf<Options>(({ options, context, env }, call) => {
  const { db, packages, buildTags: tags, ...rest } = options;
  const database = databaseOf(db, context.root, env);
  return goVuln({ ...modulePackages(currentProject(context), packages), ...rest, database, tags }, call);
});
