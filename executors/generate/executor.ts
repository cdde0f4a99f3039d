import { goGenerate } from '../../go/generate';
import { currentProject } from '../project';
import { modulePackages, toolExecutorOf } from '../tool-executor';
import type { GenerateOptions } from './schema';

/** `slim-go:generate`: runs what the project's `//go:generate` lines say. */
export default toolExecutorOf<Required<GenerateOptions>>(({ options, context }, call) => {
  const { packages, buildTags: tags, args } = options;
  return goGenerate({ ...modulePackages(currentProject(context), packages), tags, args }, call);
});
