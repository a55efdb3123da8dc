import type { JSX } from "preact";
import { Store, useStore } from "./store";
import { languageChoice, useWords, type LanguageChoice } from "./text";

export type Theme = "auto" | "light" | "dark";
export const theme = new Store<Theme>("auto", "attest.theme");

function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}): JSX.Element {
  return (
    <label class="mini-select">
      <span class="small faint">{props.label}</span>
      <select value={props.value} onChange={(event) => props.onChange(event.currentTarget.value as T)}>
        {props.options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Preferences(): JSX.Element {
  const { t } = useWords();
  return (
    <div class="preferences">
      <Choice<Theme>
        label={t("theme.label")}
        value={useStore(theme)}
        options={[["auto", t("theme.auto")], ["light", t("theme.light")], ["dark", t("theme.dark")]]}
        onChange={(value) => theme.set(value)}
      />
      <Choice<LanguageChoice>
        label={t("language.label")}
        value={useStore(languageChoice)}
        options={[["auto", t("language.auto")], ["en", "English"], ["zh", "中文"]]}
        onChange={(value) => languageChoice.set(value)}
      />
    </div>
  );
}
