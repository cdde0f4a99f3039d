import { enclosingModule } from '../../go/build';
import { goTidy } from '../../go/tidy';
import { currentProject } from '../project';
import { toolExecutorOf } from '../tool-executor';
import type { TidyOptions } from './schema';

/** `slim-go:tidy`: go.mod and go.sum say what the module imports, no more and no less. */
export default toolExecutorOf<Required<TidyOptions>>(({ options, context }, call) => {
  const { dir: moduleDir } = enclosingModule(currentProject(context).folder);
  return goTidy({ moduleDir, check: options.check }, call);
});
