import { goFormat } from '../../go/gofmt';
import { currentProject } from '../project';
import { modulePackages, toolExecutorOf } from '../tool-executor';
import type { FormatOptions } from './schema';

/** `slim-go:format`: every Go file of the project as the formatter writes it. */
export default toolExecutorOf<Required<FormatOptions>>(({ options, context }, call) => {
  const { check, formatter, packages } = options;
  return goFormat({ ...modulePackages(currentProject(context), packages), formatter, check }, call);
});
